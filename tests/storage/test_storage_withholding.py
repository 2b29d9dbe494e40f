"""Who solved how much of what he worked for; and how odd that is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from click.testing import CliRunner
from storage_samples import logged, make_route, solution

from pool.audit.withholding import at_most, judge
from pool.cli.commands import commands
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.solver_views import ChainWork, chain_work

DEVNET = str(Path(__file__).parents[2] / "deploy/devnet.yaml")
NOW_MS = 10_000_000


def store(
    books: SqlBooks, miners: Sequence[str], blocks: dict[int, str], now_ms: int = NOW_MS, **options: object
) -> None:
    """A share each, in turn; `blocks` says whose share, by its place, solved a block of which chain."""
    routes = {name: make_route(name) for name in set(miners)}
    batch = [
        logged(
            number, routes[name], time_ms=now_ms + number,
            solved=((blocks[number], number.to_bytes(32, "little")),) if number in blocks else (), **options,
        )
        for number, name in enumerate(miners, 1)
    ]  # fmt: skip
    books.store_shares(batch, batch[-1].position, now_ms)
    for number, chain in blocks.items():
        books.book_solution(solution(chain, number, number), "submitted", "", now_ms)


def read(database: Database, since_ms: int) -> dict[str, ChainWork]:
    with database.read() as connection:
        return chain_work(connection, since_ms)


def test_withholding_counts_work_and_solves_by_chain_and_parent_address(database: Database, books: SqlBooks) -> None:
    store(books, ["anna", "bert", "anna", "anna"], {1: "alpha", 3: "alpha", 4: "beta"}, weight=2**61)
    found = read(database, 0)
    assert found["alpha"].work == {"anna": 3 * 2**61, "bert": 2**61}
    assert found["alpha"].solved == {"anna": 2}
    assert (found["beta"].solved, found["regbtc"].solved) == ({"anna": 1}, {})


def test_withholding_looks_back_no_further_and_counts_no_stale_share(database: Database, books: SqlBooks) -> None:
    store(books, ["anna", "bert", "anna"], {1: "alpha"})
    assert read(database, NOW_MS + 2)["alpha"] == ChainWork({"bert": 10, "anna": 10}, {})
    assert read(database, NOW_MS + 9) == {}
    books.store_shares([stale := logged(9, make_route("carl"), stale=True, time_ms=NOW_MS)], stale.position, NOW_MS)
    assert "carl" not in read(database, 0)["alpha"].work


@pytest.mark.parametrize(("solved", "blocks"), [(0, 1), (0, 40), (3, 40), (39, 40), (40, 40), (12, 500)])
@pytest.mark.parametrize("part", [Fraction(1, 1000), Fraction(1, 7), Fraction(1, 2), Fraction(99, 100)])
def test_withholding_chance_is_the_binomial_tail(solved: int, blocks: int, part: Fraction) -> None:
    exact = sum(comb(blocks, k) * part**k * (1 - part) ** (blocks - k) for k in range(solved + 1))
    assert at_most(solved, blocks, float(part)) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("solved", "blocks", "part", "chance"), [(0, 0, 0.5, 1), (0, 5, 0.0, 1), (4, 5, 1.0, 0)])
def test_withholding_chance_at_its_ends(solved: int, blocks: int, part: float, chance: float) -> None:
    assert at_most(solved, blocks, part) == chance


def test_withholding_accuses_who_keeps_his_blocks_and_no_honest_pool() -> None:
    chance = random.Random(5)
    parts = [chance.random() for _ in range(200)]
    accused = 0
    for _ in range(50):  # fifty honest pools of two hundred: the unluckiest of one in a hundred pools is accused
        solved = dict.fromkeys(range(200), 0)
        for winner in chance.choices(range(200), parts, k=3000):
            solved[winner] += 1
        pool = ChainWork({str(n): round(part * 10**9) for n, part in enumerate(parts)}, _named(solved))
        accused += any(row.suspicious for row in judge({"alpha": pool}))
    assert accused <= 3
    thief = max(range(200), key=lambda n: parts[n])
    without = {n: count for n, count in solved.items() if n != thief}
    rows = judge({"alpha": ChainWork(pool.work, _named(without))})
    assert rows[0].miner == str(thief) and rows[0].suspicious and not any(row.suspicious for row in rows[1:])


def _named(solved: dict[int, int]) -> dict[str, int]:
    return {str(miner): count for miner, count in solved.items() if count}


def test_withholding_command_names_the_odd_one_and_ends_with_1(database: Database, books: SqlBooks, url: str) -> None:
    import time

    now_ms = time.time_ns() // 1_000_000 - 60_000
    store(books, ["anna", "bert"] * 40, dict.fromkeys(range(1, 80, 2), "alpha"), now_ms)
    asked = ["ledger", "withholding", "-c", DEVNET, "--set", f"pool.database_url={url}"]
    found = CliRunner().invoke(commands, asked)
    assert found.exit_code == 1, found.output
    lines = found.output.splitlines()
    assert lines[1].split()[:5] == ["alpha", "bert", "50.000%", "0", "20.0"]
    assert lines[1].endswith("too few to be luck") and "luck" not in lines[2]
    other = CliRunner().invoke(commands, [*asked, "--chain", "beta"])
    assert (other.exit_code, "luck" in other.output) == (0, False)
    none = CliRunner().invoke(commands, [*asked, "--days", "0.001", "--chain", "gamma"])
    assert (none.exit_code, none.output) == (0, "no shares in this time\n")
