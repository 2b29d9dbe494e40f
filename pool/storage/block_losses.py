"""Lost blocks in SQL: blocks that were final and left their chain all the same, who bears them, and their return.

Everything takes an open connection and leaves the commit to its caller. The groups are those of pool/ledger/loss.py;
each happens at most once per loss, so every step may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from pool.accounting.found_block import FoundBlock
from pool.ledger import loss
from pool.ledger.account import EQUITY_LOSS, SUSPENSE_UNEXPLAINED, available
from pool.ledger.transfer import LedgerError, TransferGroup, movements
from pool.storage import block_store, ledger_store
from pool.storage.tables import balances, blocks


class NoLossError(Exception):
    """There is no such lost block; the text names it."""


@dataclass(frozen=True, slots=True)
class OpenLoss:
    """A lost block with what of it nobody bears yet, in smallest units. Hash displayed hex."""

    chain: str
    hash_hex: str
    height: int
    reward: int
    unborne: int


def lose(connection: Connection, block: FoundBlock, now_ms: int) -> None:
    """A mature block has left its chain. Nothing when the books know already."""
    current = block_store.find(connection, block.id)
    if current.state != "mature" or current.reward is None or current.fee is None:
        return
    times = current.lost_times + 1
    credited = ledger_store.find_group(connection, f"credit:{block.chain}:{block.hash_hex}")
    unexplained = 0 if credited is None else movements(credited).get(SUSPENSE_UNEXPLAINED, 0)
    group = loss.loss(
        block.chain, block.hash_hex, times, income=current.reward, fee=current.fee, unexplained=unexplained
    )
    ledger_store.post(connection, group, now_ms)
    block_store.change(connection, block.id, now_ms, state="lost", confirmations=0, lost_times=times, watched=1)


def find(connection: Connection, block: FoundBlock, confirmations: int, now_ms: int) -> bool:
    """A lost block is back: what its loss did is undone. False when another of our blocks is paid in its place."""
    current = block_store.find(connection, block.id)
    if current.state != "lost":
        return False
    if block_store.paid_against(connection, current, current.height, current.place) is not None:
        return False
    times = current.lost_times
    lost = ledger_store.find_group(connection, f"loss:{block.chain}:{block.hash_hex}:{times}")
    if lost is None:
        raise LedgerError(f"loss:{block.chain}:{block.hash_hex}:{times}: the block is lost but the ledger has no loss")
    ledger_store.post(connection, loss.found(lost, block.hash_hex, times), now_ms)
    for kind in ("absorb", "clawback"):
        borne = ledger_store.find_group(connection, f"{kind}:{block.chain}:{block.hash_hex}:{times}")
        if borne is not None:
            ledger_store.post(connection, loss.unbear(borne), now_ms)
    block_store.change(connection, block.id, now_ms, state="mature", confirmations=confirmations, watched=0)
    block_store.supersede_others(connection, block.id)
    return True


def open_losses(connection: Connection) -> list[OpenLoss]:
    """The blocks that are lost now, by chain and height; also those whose loss is borne."""
    query = select(blocks).where(blocks.c.state == "lost").order_by(blocks.c.chain, blocks.c.height)
    return [
        OpenLoss(row.chain, row.hash_hex, row.height, row.reward, _unborne(connection, row.chain, row.hash_hex))
        for row in connection.execute(query).all()
    ]


def absorb(connection: Connection, chain: str, hash_hex: str, now_ms: int) -> int:
    """The operator bears what nobody bears of a loss; returns how much. Raises NoLossError."""
    times = _lost_block(connection, chain, hash_hex).lost_times
    amount = _unborne(connection, chain, hash_hex)
    if amount:
        ledger_store.post(connection, loss.absorb(chain, hash_hex, times, amount), now_ms)
    return amount


def clawback(connection: Connection, chain: str, hash_hex: str, now_ms: int) -> tuple[int, int]:
    """Takes back what the block's credits gave, as far as available balances go. Returns what was taken and what is
    still borne by nobody. Raises NoLossError; LedgerError when the operator has absorbed the loss already.
    """
    block = _lost_block(connection, chain, hash_hex)
    if ledger_store.find_group(connection, f"absorb:{chain}:{hash_hex}:{block.lost_times}") is not None:
        raise LedgerError(f"{chain} {hash_hex}: the operator bears this loss already")
    credited = block_store.credited_amounts(connection, block.id)
    names = {available(account_id): account_id for account_id in credited}
    query = select(balances.c.account, balances.c.amount).where(balances.c.chain == chain)
    held = {
        names[row.account]: row.amount
        for row in connection.execute(query.where(balances.c.account.like("liab.%.available")))
        if row.account in names
    }
    group = loss.clawback(chain, hash_hex, block.lost_times, amounts=credited, balances=held)
    taken = 0
    if group.transfers and ledger_store.post(connection, group, now_ms):
        taken = sum(transfer.amount for transfer in group.transfers)
    return taken, _unborne(connection, chain, hash_hex)


def _lost_block(connection: Connection, chain: str, hash_hex: str) -> FoundBlock:
    query = select(blocks.c.id).where(blocks.c.chain == chain, blocks.c.hash_hex == hash_hex, blocks.c.state == "lost")
    block_id = connection.execute(query).scalar_one_or_none()
    if block_id is None:
        raise NoLossError(f"{chain} has no lost block {hash_hex}")
    return block_store.find(connection, block_id)


def _unborne(connection: Connection, chain: str, hash_hex: str) -> int:
    times = _lost_block(connection, chain, hash_hex).lost_times
    groups: list[TransferGroup | None] = [
        ledger_store.find_group(connection, f"{kind}:{chain}:{hash_hex}:{times}")
        for kind in ("loss", "absorb", "clawback")
    ]
    return -sum(movements(group).get(EQUITY_LOSS, 0) for group in groups if group is not None)
