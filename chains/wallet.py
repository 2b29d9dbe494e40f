"""What the pool asks of a chain's wallet to pay with it: values, and the interface that a kind's wallet implements.

The pool chooses inputs, outputs and fee itself and keeps its own list of reserved coins; the wallet only tells which
coins there are, signs exactly what it is given, and sends exactly those bytes. Nothing here ever makes a wallet choose
or pay by itself. Amounts are whole smallest units, txids 32 bytes in natural order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class WalletRefusedError(Exception):
    """The wallet answered no, or with something that makes no sense: one sentence, fit for a log line."""


class ForeignSpendError(WalletRefusedError):
    """Somebody else spends what the wallet holds: what there is cannot be told any more, and nothing may be paid."""


class Outpoint(NamedTuple):
    """An output of a transaction: txid (natural order) and the output's index."""

    txid: bytes
    vout: int


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output that the wallet can sign for. `confirmations` is 0 while it waits for a block."""

    outpoint: Outpoint
    amount: int
    script: bytes
    confirmations: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """The best block of the node that answered: displayed hash."""

    height: int
    hash_hex: str


@dataclass(frozen=True, slots=True)
class WalletTransaction:
    """A transaction that the wallet knows. `confirmations` is negative when a conflicting one is confirmed, by how
    deep; `block_hash_hex` and `height` are those of the block that holds it, None while none does. `raw` is the wire
    form with witnesses, without what Litecoin's extension adds.
    """

    txid: bytes
    raw: bytes
    confirmations: int
    block_hash_hex: str | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """The next transfer of an account, on a chain that has accounts: the chain's id and the account's script, public
    key and `nonce`, which counts the transfers that the chain has of it."""

    chain_id: bytes
    script: bytes
    public_key: bytes
    nonce: int


class SendResult(StrEnum):
    """Classes of answers to a broadcast. An outage is no answer: NodeUnavailableError is raised instead."""

    SENT = "sent"  # taken now
    KNOWN = "known"  # waits in the mempool already
    CONFIRMED = "confirmed"  # is in the chain already
    MISSING_INPUTS = "missing_inputs"  # an input is spent or unknown: look up our own txid before believing it
    FEE_TOO_LOW = "fee_too_low"  # relay or mempool minimum: send again later
    REJECTED = "rejected"  # any other reason, kept word for word


@dataclass(frozen=True, slots=True)
class SendAnswer:
    result: SendResult
    reason: str = ""


class ChainWallet(Protocol):
    """A chain's wallet. Every method raises NodeUnavailableError (chains/node_rpc.py) while the node cannot answer,
    and WalletRefusedError when it says no.
    """

    chain: str

    async def tip(self) -> Tip:
        """The best block; raises WalletRefusedError while the node is not synced, so that nothing is decided then."""

    async def coins(self) -> list[Coin]:
        """Every coin the wallet can sign for, confirmed or not, in outpoint order; immature coinbases left out, and
        coins that the operator locked (`lockunspent`). Raises ForeignSpendError where it can tell that by itself.
        """

    async def is_ours(self, script: bytes) -> bool:
        """Whether the wallet holds the key of an output script; so of the address that rewards are paid to."""

    async def has_sent(self) -> bool:
        """Whether the wallet has ever sent coins, in a transaction that is in the chain or waits."""

    async def is_unspent(self, outpoint: Outpoint) -> bool:
        """Whether the chain and the mempool know the output as unspent."""

    async def sign(self, unsigned: bytes, coins: Sequence[Coin]) -> bytes:
        """`unsigned` (wire bytes, without witness), fully signed. `coins` are its inputs, in order. The wallet is
        unlocked for this call only. Raises WalletRefusedError unless every input is signed and nothing else changed.
        """

    async def accepts(self, raw: bytes) -> str | None:
        """Why the node would not take the transaction; None when it would, or cannot tell beforehand."""

    async def broadcast(self, raw: bytes) -> SendAnswer:
        """Sends these bytes to every node of the chain; the best answer counts."""

    async def transaction(self, txid: bytes) -> WalletTransaction | None:
        """A transaction as the wallet sees it; None when it does not know it."""

    async def transactions_since(self, height: int) -> list[WalletTransaction]:
        """Every wallet transaction confirmed above `height` or waiting, for reconciliation; conflicted ones and the
        coinbases of orphaned blocks are neither.
        """

    async def fee_rate(self, target_blocks: int) -> int | None:
        """The node's estimate in smallest units per 1000 virtual bytes; None when it has none."""

    async def change_script(self) -> bytes:
        """An output script of the wallet's own, a fresh one where it has several."""

    async def turn(self) -> Turn | None:
        """The account's next transfer, of a wallet that is an account (chains/accounts/coins.py); None of any other."""
