"""Whether the simulator finds what is wrong: known mistakes are put into the product, and each must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import sim_disk
from books_run import run_books
from sim_oracle import is_found

from pool.accounting import split
from pool.blocks import solution_store
from pool.blocks.solution_store import SolutionStore
from pool.ledger import income, loss
from pool.ledger.transfer import TransferGroup
from pool.services import block_following
from pool.storage import ledger_store
from pool.storage.books import SqlBooks
from pool.storage.known_hashes import KnownHashes

Patch = pytest.MonkeyPatch


def seeds_until_found(first: int, most: int, rates: tuple[float, float]) -> int:
    """How many seeds it takes, from the first one on, until one fails."""
    for number in range(first, first + most):
        if is_found(partial(run_books, number, rates=rates)):
            return number - first + 1
    pytest.fail(f"{most} seeds from {first} on, and nothing was found")


def credits_twice(patch: Patch) -> None:
    """The same credit under a second name."""
    post = ledger_store.post

    def posting(connection: Any, group: TransferGroup, now_ms: int) -> bool:
        if group.kind == "credit":
            again = TransferGroup(f"{group.id}:again", group.chain, group.kind, group.transfers)
            post(connection, again, now_ms)
        return post(connection, group, now_ms)

    patch.setattr(ledger_store, "post", posting)


def moves_the_position_first(patch: Patch) -> None:
    """The position in one transaction, the shares in the next: a crash between them loses answered shares."""
    store_shares = SqlBooks.store_shares

    def storing(books: Any, batch: Any, position: Any, now_ms: int) -> int:
        store_shares(books, [], position, now_ms)
        with books._database.write() as connection:
            return books._shares.store(connection, batch, position, now_ms)

    patch.setattr(SqlBooks, "store_shares", storing)


def gives_up_records_first(patch: Patch) -> None:
    """A solution leaves `closed` before its row is committed."""
    closed_solutions = SolutionStore.closed_solutions

    def closing(store: SolutionStore) -> Iterator[Any]:
        for closed in list(closed_solutions(store)):
            store.booked(closed.record.chain, closed.record.block_hash_hex)
            yield closed

    patch.setattr(SolutionStore, "closed_solutions", closing)
    patch.setattr(SolutionStore, "open_names", lambda store: set())


def computes_windows_early(patch: Patch) -> None:
    """A block is credited before the shares up to its solve are in SQL."""
    patch.setattr(SqlBooks, "window_drained", lambda books, block: True)


def answers_before_the_disk(patch: Patch) -> None:
    """The log's sync does nothing: what was answered is still in the kernel's memory."""
    flush = sim_disk.SegmentFile._flush

    def syncing(file: Any) -> None:
        file.late = getattr(file, "late", 0) + len(file._waiting)
        flush(file, file._waiting)

    def tearing(file: Any, random: Any) -> None:
        if file._path.exists():
            content = file._path.read_bytes()
            file._path.write_bytes(content[: len(content) - random.randint(0, getattr(file, "late", 0))])

    patch.setattr(sim_disk.SegmentFile, "sync", syncing)
    patch.setattr(sim_disk.SegmentFile, "tear", tearing)


def records_without_sync(patch: Patch) -> None:
    """A solution's record is renamed to its place before its content is durable."""

    def naming(temporary: Any, path: Any) -> None:
        solution_store.os.rename(temporary, path)

    patch.setattr(solution_store, "_name", naming)


def rounds_for_the_first(patch: Patch) -> None:
    """What is left over goes to the smallest ids, not to the largest remainders."""

    def dividing(amount: int, weights: Mapping[int, int]) -> dict[int, int]:
        total = sum(weights.values())
        parts = {account: amount * weight // total for account, weight in weights.items()}
        for account in sorted(parts)[: amount - sum(parts.values())]:
            parts[account] += 1
        return parts

    patch.setattr(split, "largest_remainder", dividing)


def voids_half_a_credit(patch: Patch) -> None:
    """An orphan's last transfer is forgotten."""

    def orphaning(credited: TransferGroup, event: str, times: int) -> TransferGroup:
        kept = TransferGroup(credited.id, credited.chain, credited.kind, credited.transfers[:-1])
        return income.reverse(kept, f"orphan:{credited.chain}:{event}:{times}", "orphan")

    patch.setattr(income, "orphan", orphaning)


def matures_too_early(patch: Patch) -> None:
    """One confirmation less than the chain asks for."""
    next_step = block_following.next_step

    def stepping(block: Any, status: Any, *, maturity: int, **options: Any) -> Any:
        return next_step(block, status, maturity=maturity - 1, **options)

    patch.setattr(block_following, "next_step", stepping)


def finds_without_the_fee(patch: Patch) -> None:
    """A lost block that is back brings everything but the first part of what it lost."""

    def finding(lost: TransferGroup, event: str, times: int) -> TransferGroup:
        kept = TransferGroup(lost.id, lost.chain, lost.kind, lost.transfers[1:])
        return loss.reverse(kept, f"found:{lost.chain}:{event}:{times}", "found")

    patch.setattr(loss, "found", finding)


def loses_only_a_part(patch: Patch) -> None:
    """The last part of a lost block stays in the wallet's account."""
    lose = loss.loss

    def losing(*arguments: Any, **options: Any) -> TransferGroup:
        group = lose(*arguments, **options)
        return TransferGroup(group.id, group.chain, group.kind, group.transfers[:-1])

    patch.setattr(loss, "loss", losing)


def stores_a_hash_twice(patch: Patch) -> None:
    """A header that comes again counts again."""
    patch.setattr(KnownHashes, "stored", lambda *_: set())
    patch.setattr(KnownHashes, "is_stored", lambda *_: False)


CALM = (0.0, 0.0)
STORMY = (0.1, 0.02)

MISTAKES: dict[Callable[[Patch], None], tuple[int, int, tuple[float, float]]] = {
    credits_twice: (1, 20, CALM),
    moves_the_position_first: (2, 60, STORMY),
    gives_up_records_first: (100, 60, STORMY),
    computes_windows_early: (6, 60, CALM),
    answers_before_the_disk: (1, 60, STORMY),
    records_without_sync: (0, 60, STORMY),
    rounds_for_the_first: (3, 20, CALM),
    voids_half_a_credit: (16, 40, CALM),
    matures_too_early: (4, 40, CALM),
    finds_without_the_fee: (23, 200, CALM),
    loses_only_a_part: (3, 100, CALM),
    stores_a_hash_twice: (0, 40, CALM),
}
"""The first seed of the search, which found the mistake when this was written, so that the search is short; how many
may be needed when it no longer does, and the rates of crashes and errors.
"""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_sim_finds_a_mistake_in_the_books(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    first, most, rates = MISTAKES[mistake]
    mistake(monkeypatch)
    assert seeds_until_found(first, most, rates) <= most
