"""The coins of the books: which there are, who reserved them, and what they say against the wallet.

Everything takes an open connection and leaves the commit to its caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select, tuple_, update

from chains.wallet import Outpoint
from pool.ledger import payment
from pool.ledger.account import ASSET_WALLET
from pool.ledger.transfer import LedgerError
from pool.payouts.batch import IN_FLIGHT, Batch, BatchKind
from pool.payouts.cold import CAUSE, ColdReturn
from pool.payouts.reconcile import BookedCoin, BooksView, CoinSource, Reconciliation, named
from pool.storage import ledger_store, payout_deposits, payout_incomes, payout_shortfall
from pool.storage.database import add_missing
from pool.storage.payout_tables import batch_inputs, payout_batches, payout_versions, payouts, wallet_coins
from pool.storage.tables import balances, blocks

SPENDABLE = (CoinSource.INCOME, CoinSource.CHANGE, CoinSource.FUND)
"""A deposit is not ours before the operator claims it, and cold coins are in another wallet."""

_IN_FLIGHT = tuple(sorted(state.value for state in IN_FLIGHT))
_CHUNK = 400  # names per query, well below SQLite's limit of variables



class NoDepositError(LedgerError):
    """There is no such deposit to be claimed."""


def books_view(
    connection: Connection, chain: str, shown: Sequence[Outpoint], block_hashes: Collection[str]
) -> BooksView:
    """What the books say to the coins that a wallet shows, and to the blocks (displayed hashes) of the coinbases among
    them."""
    coins = {coin.outpoint: coin for coin in _unspent(connection, chain)}
    coins |= {coin.outpoint: coin for coin in _among(connection, chain, [o for o in shown if o not in coins])}
    lacking = payout_shortfall.of_change(connection, chain, list(coins.values()))
    coins |= {coin.outpoint: coin for coin in lacking}
    return BooksView(
        wallet=_wallet(connection, chain) + _pending_withdrawals(connection, chain),
        coins=coins,
        change=_change_to_come(connection, chain),
        incomes=payout_incomes.incomes(connection, chain, block_hashes),
    )


def spendable(connection: Connection, chain: str) -> frozenset[Outpoint]:
    """The coins of ours that no batch has reserved or spent. The change of a batch with several transactions is left
    alone as long as a reorg could put another one in its place, and what spends it with it."""
    column = payout_batches.c
    replaced = select(payout_versions.c.batch_id).join(payout_batches, column.id == payout_versions.c.batch_id)
    changing = set(connection.execute(replaced.where(column.chain == chain, column.watched == 1)).scalars())
    reserved = {
        Outpoint(row.txid, row.vout)
        for row in connection.execute(
            select(batch_inputs.c.txid, batch_inputs.c.vout).where(
                batch_inputs.c.chain == chain, batch_inputs.c.active == 1
            )
        )
    }
    return frozenset(
        coin.outpoint
        for coin in _unspent(connection, chain)
        if coin.source in SPENDABLE and not coin.in_flight and coin.outpoint not in reserved
        if coin.source is not CoinSource.CHANGE or coin.cause not in changing
    )


def free_amount(connection: Connection, chain: str) -> int:
    """What the coins hold that no batch has reserved or spent."""
    free = spendable(connection, chain)
    return sum(coin.amount for coin in _unspent(connection, chain) if coin.outpoint in free)


def cold_coins(connection: Connection, chain: str) -> list[BookedCoin]:
    """The coins that were swept out of the hot wallet."""
    return [coin for coin in _unspent(connection, chain) if coin.source is CoinSource.COLD]


def enter(connection: Connection, chain: str, found: Reconciliation, now_ms: int) -> None:
    """Enters what a reconciliation found: the coins of mature blocks, and strangers' deposits, come or gone, with their
    ledger groups. Doing it twice is doing it once."""
    for income in found.incomes:
        for coin in income.coins:
            _add(connection, chain, coin.outpoint, coin.amount, CoinSource.INCOME, income.block_hash_hex, now_ms)
    for coin in found.deposits:
        payout_deposits.book(connection, chain, coin.outpoint, coin.amount, now_ms)
        _add(connection, chain, coin.outpoint, coin.amount, CoinSource.DEPOSIT, named(coin.outpoint), now_ms)
    for left in found.left:
        # One that was claimed meanwhile is the operator's money, and is missed at the next look.
        gone = delete(wallet_coins).where(
            *_is(chain, left.outpoint), wallet_coins.c.source == CoinSource.DEPOSIT.value
        )
        if connection.execute(gone).rowcount:
            payout_deposits.unbook(connection, chain, left.outpoint, left.amount, now_ms)


def sources(connection: Connection, chain: str, outpoints: Sequence[Outpoint]) -> dict[Outpoint, tuple[str, str]]:
    """Source and cause of coins of the books."""
    found: dict[Outpoint, tuple[str, str]] = {}
    for start in range(0, len(outpoints), _CHUNK):
        names = [tuple(outpoint) for outpoint in outpoints[start : start + _CHUNK]]
        query = select(wallet_coins).where(
            wallet_coins.c.chain == chain, tuple_(wallet_coins.c.txid, wallet_coins.c.vout).in_(names)
        )
        found |= {Outpoint(row.txid, row.vout): (row.source, row.cause) for row in connection.execute(query)}
    return found


def know(
    connection: Connection, chain: str, outpoint: Outpoint, amount: int, source: str, cause: str, now_ms: int
) -> None:
    """Enters a coin that a transaction of ours spends and that these books, out of a backup, may never have seen. A
    change comes with the settlement of the batch that made it; a claimed deposit with its groups in the ledger; a swept
    coin that came back with those that it was, at the next look at these."""
    if source == CoinSource.CHANGE:
        return
    if source == CoinSource.FUND and not cause.startswith(CAUSE):
        payout_deposits.book(connection, chain, outpoint, amount, now_ms)
        ledger_store.post(connection, payment.fund(chain, named(outpoint), amount), now_ms)
    _add(connection, chain, outpoint, amount, CoinSource(source), cause, now_ms)
    connection.execute(update(wallet_coins).where(*_is(chain, outpoint)).values(source=source))


def claim_deposit(connection: Connection, chain: str, outpoint: Outpoint, now_ms: int) -> int:
    """The operator claims a deposit as his own money. Returns its amount; claiming it again changes nothing. Raises
    NoDepositError."""
    row = connection.execute(select(wallet_coins).where(*_is(chain, outpoint))).one_or_none()
    if row is None or row.source not in (CoinSource.DEPOSIT, CoinSource.FUND):
        raise NoDepositError("there is no such deposit in the books (is it deep enough? see `pool payouts show`)")
    if ledger_store.post(connection, payment.fund(chain, named(outpoint), row.amount), now_ms):
        connection.execute(update(wallet_coins).where(*_is(chain, outpoint)).values(source=CoinSource.FUND.value))
    return int(row.amount)


def come_back(connection: Connection, chain: str, found: ColdReturn, now_ms: int) -> bool:
    """Swept coins are in the hot wallet again, or elsewhere in the cold one. False when that is booked: doing it twice
    is doing it once, also when a reorganisation has brought the swept coins into the books once more."""
    hot = dict(found.hot)
    before = {
        outpoint: source
        for outpoint, (source, cause) in sources(connection, chain, list(hot)).items()
        if cause != found.cause
    }
    deposited = sum(hot[outpoint] for outpoint, source in before.items() if source == CoinSource.DEPOSIT)
    funded = sum(hot[outpoint] for outpoint, source in before.items() if source == CoinSource.FUND)
    group = payment.come_back(chain, found.txid[::-1].hex(), found.cost, deposited=deposited, funded=funded)
    new = ledger_store.post(connection, group, now_ms)
    for coin in found.spent:
        gone = delete(wallet_coins).where(*_is(chain, coin.outpoint), wallet_coins.c.source == CoinSource.COLD.value)
        connection.execute(gone)
    if new:
        for outpoint, amount in found.hot:
            _add(connection, chain, outpoint, amount, CoinSource.FUND, found.cause, now_ms)
            ours = update(wallet_coins).where(*_is(chain, outpoint))
            connection.execute(ours.values(source=CoinSource.FUND.value, cause=found.cause))
        for outpoint, amount in found.kept:
            _add(connection, chain, outpoint, amount, CoinSource.COLD, found.cause, now_ms)
    return new


def deposits(connection: Connection, chain: str) -> list[BookedCoin]:
    """Strangers' coins that nobody has claimed."""
    return [coin for coin in _unspent(connection, chain) if coin.source is CoinSource.DEPOSIT]


def settle_coins(connection: Connection, batch: Batch, now_ms: int) -> None:
    """A final batch took its inputs and made its change; what it swept stays in the books as well. What not all
    of its transactions spend stays reserved until the batch is watched no more."""
    assert batch.built is not None and batch.txid is not None
    if batch.others:
        _unmake(connection, batch)
    for coin in batch.built.coins:
        changed = update(wallet_coins).where(*_is(batch.chain, coin.outpoint)).values(spent_batch_id=batch.id)
        if connection.execute(changed).rowcount != 1:
            raise LedgerError(f"batch {batch.id} spends {named(coin.outpoint)}, which is not in the books")
    common = min(len(version.built.coins) for version in batch.versions if version.built is not None)
    final = (batch_inputs.c.batch_id == batch.id, batch_inputs.c.place < common)
    connection.execute(update(batch_inputs).where(*final).values(active=0))
    if batch.built.change is not None:
        outpoint = Outpoint(batch.txid, batch.built.change.vout)
        _add(connection, batch.chain, outpoint, batch.built.change.amount, CoinSource.CHANGE, batch.id, now_ms)
    if batch.kind is BatchKind.SWEEP:
        for output in batch.built.outputs:
            outpoint = Outpoint(batch.txid, output.vout)
            _add(connection, batch.chain, outpoint, output.net, CoinSource.COLD, batch.id, now_ms)


def unsettle_coins(connection: Connection, batch: Batch) -> None:
    """The opposite, for a batch that can never be after all: its inputs are unspent as far as it is concerned."""
    _unmake(connection, batch)
    let_go(connection, batch)


def let_go(connection: Connection, batch: Batch) -> None:
    """The batch has no coin reserved any more."""
    connection.execute(update(batch_inputs).where(batch_inputs.c.batch_id == batch.id).values(active=0))


def _unmake(connection: Connection, batch: Batch) -> None:
    """What a settlement of the batch, by whichever of its transactions, did to the coins."""
    column = wallet_coins.c
    connection.execute(update(wallet_coins).where(column.spent_batch_id == batch.id).values(spent_batch_id=None))
    made = (CoinSource.CHANGE.value, CoinSource.COLD.value)
    connection.execute(
        delete(wallet_coins).where(column.chain == batch.chain, column.cause == batch.id, column.source.in_(made))
    )


def _add(
    connection: Connection, chain: str, outpoint: Outpoint, amount: int, source: CoinSource, cause: str, now_ms: int
) -> None:
    row = {
        "chain": chain, "txid": outpoint.txid, "vout": outpoint.vout, "amount": amount, "source": source.value,
        "cause": cause, "booked_ms": now_ms,
    }  # fmt: skip
    add_missing(connection, wallet_coins, [row])


def _is(chain: str, outpoint: Outpoint) -> tuple[Any, ...]:
    column = wallet_coins.c
    return column.chain == chain, column.txid == outpoint.txid, column.vout == outpoint.vout


def _coins_and_states() -> Select[Any]:
    coin = wallet_coins.c
    inputs = batch_inputs.alias("reserving")
    reserving, spender, maker = (payout_batches.alias(name) for name in ("reserver", "spender", "maker"))
    final = select(blocks.c.id).where(blocks.c.chain == coin.chain, blocks.c.state == "mature")
    earned = or_(
        final.where(blocks.c.hash_hex == coin.cause).exists(),
        final.where(blocks.c.container_hash_hex == coin.cause).exists(),
    )
    return (
        select(
            wallet_coins, and_(coin.source == "income", earned).label("is_earned"),
            reserving.c.state.label("reserver_state"), spender.c.state.label("spender_state"),
            maker.c.state.label("maker_state"),
        )
        .join(inputs, and_(inputs.c.chain == coin.chain, inputs.c.txid == coin.txid, inputs.c.vout == coin.vout,
                           inputs.c.active == 1), isouter=True)
        .join(reserving, reserving.c.id == inputs.c.batch_id, isouter=True)
        .join(spender, spender.c.id == coin.spent_batch_id, isouter=True)
        .join(maker, and_(coin.source.in_(("change", "cold")), maker.c.id == coin.cause), isouter=True)
    )  # fmt: skip


_COINS = _coins_and_states()
"""Made once: to make it takes longer than to ask it."""


def _rows(connection: Connection, chain: str, *conditions: Any) -> Iterable[Row[Any]]:
    """Coins with the states of the block, spender and maker that they hang on."""
    query = _COINS.where(wallet_coins.c.chain == chain, *conditions)
    for row in connection.execute(query):
        # The coins of a block that a reorg took are in no wallet until it is back; the ledger has its loss.
        if row.source != "income" or row.is_earned:
            yield row


def _booked(row: Row[Any]) -> BookedCoin:
    # Held batches that are signed may be in the chain as well.
    moving = {*_IN_FLIGHT, "hold"}
    return BookedCoin(
        Outpoint(row.txid, row.vout),
        row.amount,
        CoinSource(row.source),
        row.cause,
        spent=row.spent_batch_id is not None,
        in_flight=bool({row.reserver_state, row.spender_state, row.maker_state} & moving),
    )


def _unspent(connection: Connection, chain: str) -> list[BookedCoin]:
    return [_booked(row) for row in _rows(connection, chain, wallet_coins.c.spent_batch_id.is_(None))]


def _among(connection: Connection, chain: str, outpoints: Sequence[Outpoint]) -> list[BookedCoin]:
    found = []
    for start in range(0, len(outpoints), _CHUNK):
        names = [tuple(outpoint) for outpoint in outpoints[start : start + _CHUNK]]
        wanted = tuple_(wallet_coins.c.txid, wallet_coins.c.vout).in_(names)
        found += [_booked(row) for row in _rows(connection, chain, wanted)]
    return found


def _wallet(connection: Connection, chain: str) -> int:
    query = select(balances.c.amount).where(balances.c.chain == chain, balances.c.account == ASSET_WALLET)
    return connection.execute(query).scalar_one_or_none() or 0


def _pending_withdrawals(connection: Connection, chain: str) -> int:
    """What the ledger has taken out already and the wallet not yet."""
    query = select(func.sum(payouts.c.gross)).join(payout_batches, payout_batches.c.id == payouts.c.batch_id)
    query = query.where(payouts.c.chain == chain, payouts.c.state == "open", payout_batches.c.kind == "withdraw")
    return int(connection.execute(query).scalar_one_or_none() or 0)


def _change_to_come(connection: Connection, chain: str) -> frozenset[Outpoint]:
    """What is signed and may still come into the chain, of every transaction of a batch that has several."""
    column = payout_batches.c
    found: set[Outpoint] = set()
    present = select(column.txid, column.change_vout).where(column.raw.is_not(None), column.settled_ms.is_(None))
    versions = select(payout_versions.c.txid, payout_versions.c.change_vout).join(
        payout_batches, column.id == payout_versions.c.batch_id
    )
    for query in (present, versions):
        rows = connection.execute(query.where(column.chain == chain, column.watched == 1))
        found |= {Outpoint(row.txid, row.change_vout) for row in rows if row.change_vout is not None}
    return frozenset(found)
