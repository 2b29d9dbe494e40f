"""Closings over real books: everything once and in order, the ledger's own hashes inside, and every change found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from audit_history import PRESENT, corrupt, play
from bookkeeping_world import World
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from storage_samples import block_hash_hex

from pool.accounting.closing import FIRST_PREVIOUS, Closing, closing_hash, read_closing
from pool.audit.books_audit import audit
from pool.audit.closing_checks import check_closings
from pool.audit.terms import TermsBook
from pool.ledger.link import FIRST, link_hash
from pool.ledger.transfer import Transfer, TransferGroup
from pool.storage import closing_store
from pool.storage.audit_views import snapshot
from pool.storage.closing_store import Closings
from pool.storage.tables import ledger_links, shares, transfers

PAGE = Path(__file__).parents[2] / "docs/operating/closings.md"
LINES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    made = await play(tmp_path, url)
    yield made
    made.close()


def closed(world: World) -> list[Closing]:
    with world.database.read() as connection:
        return [read_closing(stored.data) for stored in closing_store.after(connection, 0, 1000)]


def close_all(world: World, **limits: int) -> None:
    maker = Closings(world.database, **limits)
    while maker.step(world.now_ms):
        pass


def faults(world: World) -> list[str]:
    with world.database.read() as connection:
        found, _ = check_closings(connection)
    return [str(finding) for finding in found]


@pytest.mark.parametrize(
    "limits", [{}, {"most_shares": 7, "most_transfers": 3}, {"most_shares": 1, "most_transfers": 1}]
)
async def test_closings_hold_all_of_the_books_once_and_in_order(world: World, limits: dict[str, int]) -> None:
    close_all(world, **limits)
    found = closed(world)
    assert len(found) > (6 if limits else 0)
    assert [closing.number for closing in found] == list(range(1, len(found) + 1))
    with world.database.read() as connection:
        kept = [closing.data for closing in closing_store.after(connection, 0, 1000)]
        groups = connection.execute(
            select(ledger_links.c.chain, ledger_links.c.group_id).order_by(ledger_links.c.chain, ledger_links.c.number)
        ).all()
        moved = connection.execute(select(transfers.c.group_id, transfers.c.amount)).all()
        stored = connection.execute(select(shares.c.sequence)).scalars().all()
    assert [closing.previous_hash for closing in found] == [FIRST_PREVIOUS, *map(closing_hash, kept[:-1])]
    in_closings = [(chain.name, group.id) for closing in found for chain in closing.chains for group in chain.groups]
    assert sorted(in_closings, key=lambda item: item[0]) == [tuple(row) for row in groups]
    amounts = [
        (group.id, transfer.amount)
        for closing in found for chain in closing.chains for group in chain.groups for transfer in group.transfers
    ]  # fmt: skip
    assert sorted(amounts) == sorted(tuple(row) for row in moved)
    assert sum(log.shares for closing in found for log in closing.logs) == len(stored) > 40
    assert faults(world) == []


async def test_closings_name_what_a_credit_was_made_of(world: World) -> None:
    close_all(world)
    chains = [chain for closing in closed(world) for chain in closing.chains]
    by_group = {credit.group_id: credit for chain in chains for credit in chain.credits}
    credit = by_group[f"credit:alpha:{block_hash_hex(5)}"]
    assert (credit.reward, credit.fee, credit.scheme) == (1001, 10, "pplns")
    assert {(item.kind, item.amount) for item in credit.amounts} == {("miner", 743), ("held", 248)}
    assert sum(int(item.weight) for item in credit.amounts) > 0


async def test_closings_let_anybody_follow_the_ledgers_own_hashes(world: World) -> None:
    close_all(world, most_transfers=5)
    links: dict[str, bytes] = {}
    for closing in closed(world):
        for chain in closing.chains:
            assert chain.link_before == links.get(chain.name, FIRST)
            link = chain.link_before
            for group in chain.groups:
                rows = tuple(Transfer(*transfer) for transfer in group.transfers)
                link = link_hash(link, TransferGroup(group.id, chain.name, group.kind, rows), group.created_ms)
            links[chain.name] = link
    with world.database.read() as connection:
        query = select(ledger_links.c.chain, ledger_links.c.hash).order_by(ledger_links.c.number)
        assert links == {row.chain: row.hash for row in connection.execute(query)}


async def test_closings_are_made_of_news_only_and_never_change(world: World) -> None:
    close_all(world)
    before = closed(world)
    close_all(world)
    assert closed(world) == before
    for statement in ("UPDATE closings SET closed_ms = 0", "DELETE FROM closings"):
        with pytest.raises(IntegrityError, match="append-only"), world.database.write() as connection:
            connection.execute(text(statement))
    world.chains["alpha"].mine(77, height=40, reward=500)
    world.log.append(50, world.log.items[0].route, chains=("alpha",))
    world.solve("alpha", 77, 51, world.log.items[0].route, "accepted", height=40)
    await world.settle()
    close_all(world)
    assert closed(world)[: len(before)] == before
    assert [chain.name for closing in closed(world)[len(before) :] for chain in closing.chains] == ["alpha"]
    assert faults(world) == []


async def test_closings_are_in_the_audit(world: World) -> None:
    close_all(world)
    corrupt(world, "UPDATE closings SET closed_ms = closed_ms + 1")
    with snapshot(world.url) as connection:
        report = audit(connection, TermsBook(PRESENT, []))
    assert [str(finding) for finding in report.findings if finding.rule == "closings"] == [
        "closings closing 1: its row says something else than its bytes"
    ]
    assert report.counts["closings"] == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE shares SET weight = weight + 1 WHERE sequence = 3", "log main has other shares than were sealed"),
        ("UPDATE shares SET sequence = 47 WHERE sequence = 46", ""),
        ("UPDATE transfers SET amount = amount + 1 WHERE group_id LIKE 'credit:beta%'", ""),
        (
            "UPDATE ledger_links SET hash = (SELECT hash FROM ledger_links WHERE chain = 'alpha' AND number = 1)"
            " WHERE chain = 'beta'",
            "beta: the ledger is another one up to link 1",
        ),
        ("DELETE FROM share_logs", "log main is not in the books"),
        ("DELETE FROM shares WHERE sequence = 4", ""),
    ],
)
async def test_closings_tell_what_was_changed_after_them(world: World, statement: str, expected: str) -> None:
    close_all(world)
    corrupt(world, statement)
    assert faults(world) == ([f"closings closing 1: {expected}"] if expected else [])


async def test_closings_that_were_taken_away_or_exchanged_are_told(world: World) -> None:
    close_all(world, most_transfers=4)
    corrupt(world, "DELETE FROM closings WHERE number = 2")
    assert faults(world)[0] == "closings closing 3: does not follow on closing 1"
    corrupt(world, "UPDATE closings SET body = (SELECT body FROM closings WHERE number = 1) WHERE number = 3")
    assert faults(world)[:2] == [
        "closings closing 3: its row says something else than its bytes",
        "closings closing 3: does not follow on closing 1",
    ]


async def test_closings_are_checked_by_the_lines_of_the_document(world: World, tmp_path: Path) -> None:
    close_all(world, most_transfers=4)
    with world.database.read() as connection:
        rows = [json.dumps(stored.for_people()) for stored in closing_store.after(connection, 0, 1000)]

    def check(lines: list[str]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "closings.jsonl").write_text("".join(line + "\n" for line in lines))
        words = [sys.executable, "-I", "-c", LINES]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    good = check(rows)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == f"good up to {len(rows)} {json.loads(rows[-1])['hash']}\n"
    assert len(rows) > 4 and check(rows[:2] + rows[3:]).returncode == 1
    changed = rows[2].replace('"bytes": "96', '"bytes": "97')
    assert check([*rows[:2], changed, *rows[3:]]).returncode == 1
