"""The section of a chain that pays its miners: amounts, fees, the schedule, and how its wallet is spoken to.

No secret can be written into the file: passwords and the passphrase come from files or the environment only.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field

from pool.config.section import Section
from pool.config.values import EnvironmentName, FilePath, NodeUrl, PlainText

MOST = 2**62


class PayoutsSection(Section):
    """Payouts of a chain; without this section the chain pays nobody. Amounts are whole smallest units (satoshi), fee
    rates smallest units per 1000 virtual bytes."""

    minimum_payout: int = Field(
        ge=1, le=MOST, description="Nobody is paid less; what is owed adds up until then. Miners may ask for more."
    )
    interval_s: int = Field(86_400, ge=60, le=366 * 86_400, description="Time between two batches of payouts.")
    fee_policy: Literal["pool", "miner"] = Field(
        "pool",
        description="Who bears the network's fee: the operator, out of what is above what is owed, or the miners, in "
        "proportion to their amounts.",
    )
    max_fee_rate: int = Field(
        100_000, ge=1, le=MOST, description="While the network asks for more, payouts wait. Dogecoin: 5000000."
    )
    min_fee_rate: int = Field(1000, ge=1, le=MOST, description="Never pay less. Dogecoin: 1000000.")
    default_fee_rate: int | None = Field(
        None, ge=1, le=MOST, description="Where the node has no estimate. Default: payouts wait."
    )
    fee_target_blocks: int = Field(6, ge=1, le=1008, description="The estimate is for this many blocks.")
    confirmations: int = Field(
        6, ge=1, le=1000, description="A payout is final, and a stranger's deposit booked, from here on."
    )
    max_outputs: int = Field(1000, ge=1, le=1000, description="Payouts per transaction; the rest follows in the next.")
    max_inputs: int = Field(600, ge=2, le=600, description="Coins per transaction.")
    consolidate_above: int = Field(
        500, ge=2, le=100_000, description="With more coins than this, many are made one when nobody is to be paid."
    )
    hot_ceiling: int | None = Field(
        None, ge=1, le=MOST, description="More than this in the wallet is told as an error: sweep it."
    )
    wallet_url: NodeUrl | None = Field(
        None, description="JSON-RPC address of the node that has the wallet. Default: the chain's first node."
    )
    wallet_name: PlainText | None = Field(
        None, max_length=256, description="The wallet's name, where the node has several; it has the key of `address`."
    )
    user: PlainText | None = Field(
        None, max_length=256, description="RPC user. Default: the login of the chain's first node."
    )
    password_file: FilePath | None = Field(None, description="File whose first line is the RPC password.")
    password_env: EnvironmentName | None = Field(None, description="Or the environment variable that holds it.")
    cookie_file: FilePath | None = Field(
        None, description="Or the node's `.cookie` file, instead of user and password."
    )
    passphrase_file: FilePath | None = Field(
        None, description="File whose first line unlocks the wallet, only while a transaction is signed."
    )
    passphrase_env: EnvironmentName | None = Field(None, description="Or the environment variable that holds it.")
    key_file: FilePath | None = Field(
        None,
        description="Kinds `bk` and `parallel`, whose ledgers have accounts instead of coins: file of the key of "
        "`address`, which signs here and not at the node (64 hex digits, mode 0600; `pool payouts new-key` makes one). "
        "Only the process that pays reads it.",
    )
    signing: Literal["auto", "psbt", "raw"] = Field(
        "auto",
        description="How the wallet signs: `psbt` (0.17 and later), `raw` (older ones, Dogecoin), or whichever it has.",
    )

    def read_password(self) -> str | None:
        """The RPC password. Raises OSError, UnicodeDecodeError or KeyError when it is not where it should be."""
        if self.password_file is not None:
            return self.password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
        return os.environ[self.password_env] if self.password_env is not None else None

    @property
    def has_login(self) -> bool:
        """Whether the wallet has a login of its own."""
        return any((self.user, self.password_file, self.password_env, self.cookie_file))


Payouts = Annotated[PayoutsSection | None, Field(description="How this chain pays its miners.")]
