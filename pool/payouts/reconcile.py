"""The wallet against the books, coin by coin, at one tip: before every batch and every few minutes.

Every coin that the books hold is there, or is on its way in a transaction that we signed; every coin that is there has
its place in the books: income of a block of ours, change, or a stranger's deposit. All of them add up to what the
ledger says the wallet holds (invariant I9). A deposit is booked and left alone, because anybody can send one, and taken
out of the books when a reorganisation took it, because anybody can bring that about as well; a coin that is gone, came
back or changed stops the chain's payouts, because somebody else has the keys or the books are not the newest (P18,
P19). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.wallet import Coin, Outpoint

AWAIT_MARGIN = 20
"""Old wallets show a coinbase only 20 blocks after the chain lets it be spent."""


class CoinSource(StrEnum):
    """Where a coin of the books comes from."""

    INCOME = "income"  # a block of ours
    CHANGE = "change"  # back from a batch, or made by a consolidation
    DEPOSIT = "deposit"  # a stranger's, until the operator claims it
    FUND = "fund"  # a deposit that the operator claimed
    COLD = "cold"  # swept to the operator's other wallet, and still in the books


@dataclass(frozen=True, slots=True)
class BookedCoin:
    """A coin of the books. `cause` is the block's displayed hash, the batch's id or the deposit's own name. `spent`
    says that a settled batch took it. `in_flight` says that a batch which is signed and not final spends or makes it,
    so that the wallet may show it or not.
    """

    outpoint: Outpoint
    amount: int
    source: CoinSource
    cause: str
    spent: bool = False
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class Income:
    """A block of ours in the books: displayed hash, height, what its coinbase pays us, and whether that is final. Of a
    block that pays votes, `amount` is what those that the books know of it earn; it is final when all of it is, and
    `partly` is what of it is final before."""

    block_hash_hex: str
    height: int
    amount: int
    mature: bool
    partly: int = 0
    votes: bool = False


@dataclass(frozen=True, slots=True)
class BooksView:
    """What the books say, read in one transaction: `wallet` is the balance of asset.wallet; `coins` are all that are
    not spent, and any other that the wallet shows; `change` are outpoints of signed, unsettled transactions that will
    be ours; `incomes` are the mature blocks whose coins are not in `coins` yet, and the blocks of the coinbases in
    question.
    """

    wallet: int
    coins: Mapping[Outpoint, BookedCoin]
    change: frozenset[Outpoint]
    incomes: Mapping[str, Income]


@dataclass(frozen=True, slots=True)
class NewIncome:
    """Coins of a mature block of ours, to be entered: nothing moves in the ledger, which has them."""

    block_hash_hex: str
    coins: tuple[Coin, ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What to enter, what to wait for, and what is wrong. `faults` (sentences) stop payouts; `notes` are for a ticket.
    `difference` is what the wallet shows over what the ledger says, in smallest units; 0 is good. `left` are deposits
    of the books that are in the chain no more.
    """

    incomes: tuple[NewIncome, ...]
    deposits: tuple[Coin, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    difference: int
    left: tuple[BookedCoin, ...] = ()

    @property
    def good(self) -> bool:
        return not self.faults and self.difference == 0


def named(outpoint: Outpoint) -> str:
    """An outpoint as explorers show it: displayed txid and index."""
    return f"{outpoint.txid[::-1].hex()}:{outpoint.vout}"


def reconcile(
    shown: Sequence[Coin],
    books: BooksView,
    origins: Mapping[bytes, str | None],
    *,
    tip_height: int,
    maturity: int,
    confirmations: int,
    away: Collection[Outpoint] = (),
) -> Reconciliation:
    """`shown` are the wallet's coins at the tip; `origins` gives, by txid, the block (displayed hash) of each coinbase
    among them that is not in the books. `confirmations` make a deposit final; `away` are deposits of the books whose
    own transactions are in no block.
    """
    by_outpoint = {coin.outpoint: coin for coin in shown}
    left = tuple(books.coins[outpoint] for outpoint in sorted(away) if may_leave(books.coins.get(outpoint)))
    faults, off = _compare(by_outpoint, books, {coin.outpoint for coin in left})
    if len(by_outpoint) != len(shown):
        faults.append("the wallet names a coin twice")
    strange = [c for c in shown if c.outpoint not in books.coins and c.outpoint not in books.change]
    incomes, notes = [], []
    coinbases: dict[bytes, list[Coin]] = {}
    deposits = []
    for coin in sorted(strange, key=lambda coin: coin.outpoint):
        if coin.coinbase:
            coinbases.setdefault(coin.outpoint.txid, []).append(coin)
        elif coin.confirmations >= confirmations and coin.amount > 0:
            deposits.append(coin)
    entered: set[str] = set()
    for txid, coins in coinbases.items():
        block_hash_hex = origins.get(txid)
        income = books.incomes.get(block_hash_hex) if block_hash_hex is not None else None
        if income is None:
            notes.append(f"coinbase {txid[::-1].hex()} is of a block that the books do not know; it is left alone")
        elif income.mature:
            held = sum(coin.amount for coin in coins)
            if income.votes and held > income.amount:
                continue  # the books have not come to all of its votes yet; it is awaited, and not for ever
            entered.add(income.block_hash_hex)
            if held != income.amount:
                faults.append(f"the coins of block {income.block_hash_hex} hold {held}, its income is {income.amount}")
                off += held - income.amount
            else:
                incomes.append(NewIncome(income.block_hash_hex, tuple(coins)))
    # A block that was asked for because of a coin that had no place yet may have got its coins since, from a payer that
    # took over or with its return after a loss: they are among the booked ones then, and awaited no more.
    placed = {coin.cause for coin in books.coins.values() if coin.source is CoinSource.INCOME} | entered
    awaited = 0
    for income in books.incomes.values():
        if income.block_hash_hex in placed:
            continue
        if not income.mature or not income.amount:
            awaited += income.partly
            continue
        awaited += income.amount
        if tip_height - income.height + 1 > maturity + AWAIT_MARGIN:
            faults.append(f"the {income.amount} of block {income.block_hash_hex} are not in the wallet")
            off -= income.amount
    booked = sum(coin.amount for coin in books.coins.values() if not coin.spent)
    entering = sum(books.incomes[name].amount for name in entered)
    ledger_off = booked + entering + awaited - books.wallet
    if ledger_off:
        faults.append(f"the coins of the books differ from the ledger's wallet by {ledger_off}")
    return Reconciliation(tuple(incomes), tuple(deposits), tuple(faults), tuple(notes), ledger_off + off, left)


def may_leave(coin: BookedCoin | None) -> bool:
    """Whether nothing of ours hangs on a coin of the books: it is a stranger's, and the operator has not claimed it."""
    return coin is not None and coin.source is CoinSource.DEPOSIT and not coin.spent and not coin.in_flight


def _compare(
    shown: Mapping[Outpoint, Coin], books: BooksView, left: Collection[Outpoint]
) -> tuple[list[str], int]:
    """Every coin of the books against the wallet: sentences, and by how much the wallet is off."""
    faults, off = [], 0
    for outpoint, booked in sorted(books.coins.items()):
        coin = shown.get(outpoint)
        if outpoint in left:
            continue
        if coin is None:
            if not booked.spent and not booked.in_flight and booked.source is not CoinSource.COLD:
                faults.append(f"coin {named(outpoint)} of {booked.amount} is gone, and no batch spends it")
                off -= booked.amount
        elif coin.amount != booked.amount:
            faults.append(f"coin {named(outpoint)} has {coin.amount} in the wallet and {booked.amount} in the books")
            off += coin.amount - booked.amount
        elif booked.spent and not booked.in_flight:
            faults.append(f"coin {named(outpoint)} of {booked.amount} is back, though a settled batch spent it")
            off += booked.amount
    return faults, off
