"""Why a settings message changes nothing: each kind of refusal, told in words for the miner who sent it."""

from __future__ import annotations


class SettingsRefusedError(ValueError):
    """The message is not well formed, or not for this pool and day."""


class SignatureRefusedError(SettingsRefusedError):
    """The message is well written, but its signature is not the miner's."""


class NumberUsedError(SettingsRefusedError):
    """The number is not higher than that of an earlier message, so this one may be an old one sent again."""


class UnknownMinerError(SettingsRefusedError):
    """Nothing was mined for the address: keys cost nothing, and the books are no place to write for strangers."""


class TooManyMessagesError(SettingsRefusedError):
    """The miner sent more messages in a day than are kept."""


class MinerFrozenError(SettingsRefusedError):
    """The operator stopped payouts of this miner; until that ends nothing changes."""
