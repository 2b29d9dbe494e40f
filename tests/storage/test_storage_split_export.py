"""Exports, and the lines of docs/operating/audit.md that compute every amount from one again."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from audit_history import EMPTY, MATURE, ORPHAN, PRESENT, REJECTED, RETURNED, forget_terms, play
from bookkeeping_world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert
from storage_samples import block_hash_hex, solution

from pool.accounting.split import split_reward
from pool.audit.split_export import ExportError, as_csv, as_json, split_export, tie_ranks
from pool.audit.terms import CreditTerms, PastTerms, TermsBook
from pool.storage import block_store, income_store
from pool.storage.audit_views import snapshot
from pool.storage.database import Database, sqlite_url, upgrade
from pool.storage.share_store import ShareStore
from pool.storage.tables import accounts

PAGE = Path(__file__).parents[2] / "docs/operating/audit.md"
LINES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
PROGRAM = compile(LINES, str(PAGE), "exec")
NUMBERS = count(1)


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[World]:
    made = await play(tmp_path, url)
    yield made
    made.close()


def exported(world: World, chain: str, number: int, *past: PastTerms) -> dict[str, Any]:
    with snapshot(world.url) as connection:
        return split_export(connection, chain, block_hash_hex(number), TermsBook(PRESENT, past))


def run_lines(path: Path) -> subprocess.CompletedProcess[str]:
    """The lines as anybody would run them, where nothing of ours can be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", LINES, str(path)], capture_output=True, text=True, timeout=30, check=False
    )


def test_split_export_the_lines_of_the_document_are_about_twenty() -> None:
    assert 15 <= len(LINES.strip().splitlines()) <= 24
    assert "import pool" not in LINES and "from pool" not in LINES


@pytest.mark.parametrize(
    ("chain", "number", "said"),
    [
        ("alpha", MATURE, "anna-alpha paid 743\nbert held 248\nfee 10 unexplained 0\n"),
        ("alpha", RETURNED, "anna-alpha paid 578\nbert held 192\nfee 7 unexplained 0\n"),
        ("alpha", ORPHAN, "anna-alpha paid 693\nbert held 297\nfee 10 unexplained 0\n"),
        ("regbtc", MATURE, "anna paid 3715\nbert paid 1238\nfee 50 unexplained 0\n"),
        ("beta", EMPTY, "fee 0 unexplained 55\n"),
    ],
)
def test_split_export_is_reproduced_by_the_lines_of_the_document(
    world: World, tmp_path: Path, chain: str, number: int, said: str
) -> None:
    path = tmp_path / "split.json"
    path.write_text(as_json(exported(world, chain, number)))
    done = run_lines(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(said.splitlines())


def test_split_export_the_lines_stop_at_a_wrong_amount(world: World, tmp_path: Path) -> None:
    wrong = exported(world, "alpha", MATURE)
    wrong["credits"][0]["amount"] += 1
    path = tmp_path / "split.json"
    path.write_text(as_json(wrong))
    done = run_lines(path)
    assert done.returncode == 1
    assert "anna-alpha: credited 744" in done.stderr


def test_split_export_says_the_same_as_csv(world: World) -> None:
    for chain, number in (("alpha", MATURE), ("beta", EMPTY)):
        export = exported(world, chain, number)
        rows = list(csv.DictReader(io.StringIO(as_csv(export))))
        shared = {name: str(value) for name, value in export.items() if name not in ("credits", "block", "chain")}
        assert len(rows) == max(1, len(export["credits"]))
        for row, credit in zip(rows, export["credits"], strict=False):
            assert {name: row[name] for name in shared} == shared
            assert (row["chain"], row["block"]) == (chain, block_hash_hex(number))
            assert (row["address"], row["weight"]) == (credit["address"], credit["weight"])
            assert (int(row["held"]), int(row["tie"]), int(row["amount"])) == (
                int(credit["held"]),
                credit["tie"],
                credit["amount"],
            )
    assert rows[0]["address"] == rows[0]["amount"] == ""


def test_split_export_refuses_what_was_not_credited(world: World) -> None:
    with pytest.raises(ExportError, match="the block is rejected and has never been credited"):
        exported(world, "alpha", REJECTED)
    with pytest.raises(ExportError, match="no block of ours on beta has this hash"):
        exported(world, "beta", MATURE)


def test_split_export_refuses_terms_that_are_not_those_of_the_block(world: World) -> None:
    past = PastTerms("alpha", 5, CreditTerms(20_000, 2, 0))
    assert exported(world, "alpha", MATURE, past)["fee_ppm"] == 10_000, "its own terms are kept with it"
    forget_terms(world)
    with pytest.raises(ExportError, match=r"the fee was 10, and 20000 ppm of 1001 are 20: say the terms"):
        exported(world, "alpha", MATURE, past)
    with (
        snapshot(world.url) as connection,
        pytest.raises(ExportError, match="alpha is not configured: say the terms"),
    ):
        split_export(connection, "alpha", block_hash_hex(MATURE), TermsBook({}))


def test_split_export_tells_ages_only_where_they_decide() -> None:
    assert tie_ranks(10, {1: 5, 2: 5}) == {}
    assert tie_ranks(11, {7: 5, 2: 5}) == {2: 0, 7: 1}
    assert tie_ranks(4, {1: 1, 2: 1, 3: 1}) == {1: 0, 2: 1, 3: 1}
    assert tie_ranks(10, {1: 3, 2: 1, 3: 1}) == {}
    assert tie_ranks(10, {}) == {}


# -- any split ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def any_books(tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = sqlite_url(tmp_path_factory.mktemp("splits") / "pool.db")
    upgrade(url)
    database = Database(url)
    with database.write() as connection:
        rows = [
            {"chain": "alpha", "kind": ("miner", "held")[n % 2], "script_hex": f"{n:x}", "address": f"a{97 * n % 41}"}
            for n in range(40)
        ]
        connection.execute(insert(accounts), rows)
    yield database
    database.close()


def credit(connection: Connection, number: int, reward: int, fee_ppm: int, weights: dict[int, int]) -> None:
    log_id = ShareStore("main").log_id(connection)
    block_store.add(connection, log_id, solution("alpha", number, 1), "submitted", "", 1)
    block = block_store.watched(connection, "main", "alpha")[-1]
    split = split_reward(reward, fee_ppm, weights)
    income_store.add_credits(connection, block.id, 0, split.amounts, weights)
    block_store.change(connection, block.id, 1, state="immature", height=number, reward=reward, fee=split.fee)


weight = st.one_of(st.integers(0, 3), st.just(10), st.integers(0, 2**90))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reward=st.one_of(st.integers(0, 50), st.integers(0, 2**62)),
    fee_ppm=st.one_of(st.sampled_from([0, 10_000, 1_000_000]), st.integers(0, 1_000_000)),
    weights=st.dictionaries(st.integers(1, 40), weight, max_size=40),
)
def test_split_export_of_any_split_is_reproduced(
    any_books: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reward: int,
    fee_ppm: int,
    weights: dict[int, int],
) -> None:
    number = next(NUMBERS)
    with any_books.write() as connection:
        credit(connection, number, reward, fee_ppm, weights)
    with any_books.read() as connection:
        terms = TermsBook({"alpha": CreditTerms(fee_ppm, 2, 0)})
        export = split_export(connection, "alpha", block_hash_hex(number), terms)
    path = tmp_path / "split.json"
    path.write_text(as_json(export))
    monkeypatch.setattr(sys, "argv", ["lines", str(path)])
    exec(PROGRAM, {})
    paid = sum(int(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[:-1])
    assert paid + export["fee"] + export["unexplained"] == reward
    assert json.loads(as_json(export)) == export
