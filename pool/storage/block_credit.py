"""A block's credits in SQL: made once, voided and reinstated any number of times, final once.

Everything takes an open connection and leaves the commit to its caller. A block of several income events moves with all
of them. What each transition posts is in pool/ledger/income.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection

from pool.accounting.found_block import ChainTerms, FoundBlock, Place
from pool.accounting.split import Split, split_reward
from pool.ledger import income
from pool.ledger.income import event_name
from pool.ledger.transfer import LedgerError, TransferGroup
from pool.shares.scheme import PER_SHARE
from pool.storage import block_store, income_store, ledger_store
from pool.storage.block_claim import Claim
from pool.storage.income_store import IncomeEvent, Terms
from pool.storage.share_store import ShareStore


def credit(
    connection: Connection,
    store: ShareStore,
    block: FoundBlock,
    claim: Claim,
    *,
    height: int,
    confirmations: int,
    reward: int,
    terms: ChainTerms,
    now_ms: int,
    place: Place | None = None,
) -> Split:
    """Credits a block that was never credited before to whoever has the claim on it; one income event. A vote is
    credited for the place that it has."""
    accounts = store.accounts_of(connection, block.chain, sorted(claim.weights))
    weights = _by_account(claim.weights, accounts)
    split = split_reward(reward, terms.fee_ppm, weights, claim.scheme)
    group = income.credit(
        block.chain,
        event_name(block.hash_hex),
        income=reward,
        fee=split.fee,
        amounts=split.amounts,
        unexplained=split.unexplained,
        operator=split.operator,
    )
    ledger_store.post(connection, group, now_ms)
    pplns = claim.scheme == "pplns"
    event = IncomeEvent(
        block_id=block.id,
        index=0,
        reward=reward,
        fee=split.fee,
        operator=split.operator,
        unexplained=split.unexplained,
        scheme=claim.scheme,
        terms=Terms(
            fee_ppm=None if claim.scheme in PER_SHARE else terms.fee_ppm,
            factor=Fraction(terms.factor) if pplns else None,
            window_min_ms=int(terms.window_min_s * 1000) if pplns else None,
        ),
        total_weight=claim.total,
        share_count=claim.share_count,
        oldest=claim.oldest,
        newest=claim.newest,
    )
    income_store.add(connection, event)
    income_store.add_credits(connection, block.id, 0, split.amounts, weights)
    placed: dict[str, Any] = {}
    if place is not None:
        placed = {
            "vote_hash_hex": block.solve_hex,
            "container_hash_hex": place.container_hex,
            "event_index": place.event_index,
        }
    block_store.change(
        connection,
        block.id,
        now_ms,
        state="immature",
        height=height,
        confirmations=confirmations,
        reward=reward,
        fee=split.fee,
        **placed,
    )
    block_store.supersede_others(connection, block.id)
    return split


def mature(connection: Connection, block: FoundBlock, confirmations: int, now_ms: int) -> None:
    """An immature block is final: what it earned is available."""
    for event in income_store.of_block(connection, block.id):
        amounts = income_store.credited_amounts(connection, block.id, event.index)
        name = event_name(block.hash_hex, event.index)
        group = income.mature(block.chain, name, income=event.reward, amounts=amounts, operator=event.operator)
        ledger_store.post(connection, group, now_ms)
    block_store.change(connection, block.id, now_ms, state="mature", confirmations=confirmations, watched=0)


def orphan(connection: Connection, block: FoundBlock, times: int, now_ms: int) -> None:
    """An immature block left its chain for the `times`-th time: its credits are void."""
    for event in income_store.of_block(connection, block.id):
        name = event_name(block.hash_hex, event.index)
        ledger_store.post(connection, income.orphan(_credited(connection, block, event), name, times), now_ms)
    block_store.change(connection, block.id, now_ms, state="orphan", confirmations=0, orphaned_times=times)


def reinstate(connection: Connection, block: FoundBlock, times: int, confirmations: int, now_ms: int) -> None:
    """An orphan is back: its credits count again."""
    for event in income_store.of_block(connection, block.id):
        name = event_name(block.hash_hex, event.index)
        ledger_store.post(connection, income.reinstate(_credited(connection, block, event), name, times), now_ms)
    block_store.change(connection, block.id, now_ms, state="immature", confirmations=confirmations)
    block_store.supersede_others(connection, block.id)


def _credited(connection: Connection, block: FoundBlock, event: IncomeEvent) -> TransferGroup:
    group_id = f"credit:{block.chain}:{event_name(block.hash_hex, event.index)}"
    group = ledger_store.find_group(connection, group_id)
    if group is None:
        raise LedgerError(f"{group_id}: the block is credited but the ledger has no such group")
    return group


def _by_account(weights: Mapping[int, int], accounts: Mapping[int, int]) -> dict[int, int]:
    """Weights of routes as those of the accounts that earn by them."""
    found: dict[int, int] = {}
    for route_id, weight in weights.items():
        found[accounts[route_id]] = found.get(accounts[route_id], 0) + weight
    return found
