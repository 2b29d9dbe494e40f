"""A settings message that came on paper, so to speak: the text, and below it a line with the signature.

    parapool main
    miner: bcrt1q…
    …
    signature: H9L5yLF…

Mail and editors change line ends and the last one, which the signature covers; so the few texts are tried that the file
may have been.
"""

from __future__ import annotations

from datetime import date

from pool.miners.refusal import SettingsRefusedError, SignatureRefusedError
from pool.miners.settings_message import SettingsMessage, SettingsRules, read_signed

SIGNATURE_WORD = "signature:"
MAX_FILE = 8192
"""Characters; a message has at most 4096, a signature 400."""


def read_message_file(content: str, rules: SettingsRules, today: date) -> tuple[str, str, SettingsMessage]:
    """The text as it was signed, the signature, and what the text says. Raises SettingsRefusedError."""
    if len(content) > MAX_FILE:
        raise SettingsRefusedError(f"a message with its signature has at most {MAX_FILE} characters")
    text, found, signature = content.removeprefix("\ufeff").replace("\r\n", "\n").rpartition(f"\n{SIGNATURE_WORD}")
    if not found or "\n" in signature.strip():
        raise SettingsRefusedError(f"expected a last line '{SIGNATURE_WORD} …' below the message")
    refused: SettingsRefusedError | None = None
    for candidate in (text, f"{text}\n", text.replace("\n", "\r\n"), f"{text}\n".replace("\n", "\r\n")):
        try:
            return candidate, signature.strip(), read_signed(candidate, signature.strip(), rules, today)
        except SignatureRefusedError as error:
            refused = refused or error
    assert refused is not None, "every candidate returns, raises or was refused"
    raise refused
