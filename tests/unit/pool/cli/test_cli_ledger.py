"""`pool ledger`: exit codes, what goes to which stream, and that nothing is made or written."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from pool import progress
from pool.accounting.found_block import ChainTerms
from pool.blocks.solution_store import SolutionRecord
from pool.cli import commands
from pool.config.configuration import load
from pool.shares.record import AccountKey, LoggedShare, Position, Route, ShareRecord
from pool.storage.books import SqlBooks
from pool.storage.database import Database, upgrade

DEVNET = str(Path(__file__).parents[4] / "deploy/devnet.yaml")
HASH_HEX = f"{5:064x}"
REWARD = 5_000_000_001


class Outcome(NamedTuple):
    exit_code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `pool ledger COMMAND ...` over the books in tmp_path."""

    def run(*words: str) -> Outcome:
        given = ["-c", DEVNET, "--set", f"pool.data_dir={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["pool", "ledger", *words[:1], *given, *words[1:]])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """One block of regbtc, three of four shares Anna's. Returns the database file."""
    config = load(DEVNET, {"pool.data_dir": str(tmp_path)})
    upgrade(config.database_url())
    database = Database(config.database_url())
    written = SqlBooks(database)
    batch = []
    for sequence in range(1, 5):
        name = "bert" if sequence == 4 else "anna"
        route = Route(name.encode().ljust(16), name, {"regbtc": AccountKey("miner", name.encode().hex(), name)})
        solved = (("regbtc", bytes.fromhex(HASH_HEX)[::-1]),) if sequence == 4 else ()
        share = ShareRecord(
            sequence, 1000 * sequence, route.digest, "rig", 50, ("regbtc",), bytes([sequence]) * 32, False, solved
        )
        batch.append(LoggedShare(Position(1, sequence), share, route))
    written.store_shares(batch, batch[-1].position, 1)
    record = SolutionRecord(
        chain="regbtc", block_hash_hex=HASH_HEX, height=5, payload={}, nodes=[], share_sequence=4, found_ms=4000,
        reward_hint=None, stale=False, target_hex=f"{2**256 // 100 - 1:064x}", share_weight=50,
    )  # fmt: skip
    written.book_solution(record, "submitted", "", 1)
    section = config.chains["regbtc"].pplns
    terms = ChainTerms(config.fee_ppm("regbtc"), section.factor, section.window_min_s, 10)
    assert written.credit(written.watched_blocks("regbtc")[0], 5, 1, REWARD, terms, 1) is not None
    database.close()
    return tmp_path / "pool.sqlite"


def corrupt(books: Path) -> None:
    with closing(sqlite3.connect(books)) as raw, raw:
        raw.execute("UPDATE balances SET amount = amount + 1 WHERE account = 'asset.immature'")


@pytest.mark.parametrize("words", [(), ("audit",), ("statement",), ("export",)], ids=" ".join)
def test_cli_ledger_help_teaches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pool", "ledger", *words, "--help"])
    with pytest.raises(SystemExit) as end:
        commands.main()
    captured = capsys.readouterr()
    assert (end.value.code, captured.err) == (0, "")
    assert "  pool ledger " in captured.out.partition("Usage:")[2]


def test_cli_ledger_audit_of_right_books_is_ok(ledger: Run, books: Path) -> None:
    before = books.read_bytes()
    outcome = ledger("audit")
    assert outcome.exit_code == 0
    counts = "chains=1 groups=1 transfers=3 balances=4 blocks=1 credited=1 recomputed=1 credits=2 closings=0"
    assert outcome.out == f"ok {counts}\n"
    assert outcome.err == ""
    assert books.read_bytes() == before


def test_cli_ledger_audit_names_findings_and_ends_with_1(ledger: Run, books: Path) -> None:
    corrupt(books)
    outcome = ledger("audit")
    assert outcome.exit_code == 1
    assert outcome.out.splitlines() == [
        f"I12 regbtc asset.immature: balance {REWARD + 1}, its transfers give {REWARD}",
        "I2 regbtc: debits and credits differ by 1",
    ]
    assert outcome.err.splitlines()[-1].startswith("2 findings in chains=1 ")


def test_cli_ledger_takes_the_terms_it_is_told(ledger: Run, books: Path) -> None:
    assert ledger("audit", "--terms", "regbtc:5:123:2:3600").exit_code == 0, "the block's own terms are kept with it"
    with closing(sqlite3.connect(books)) as raw, raw:
        raw.execute("DROP TRIGGER income_events_refuse_update")
        raw.execute("UPDATE income_events SET fee_ppm = NULL, factor = NULL, window_min_ms = NULL")
    outcome = ledger("audit", "--terms", "regbtc:5:123:2:3600")
    assert outcome.exit_code == 1
    assert "fee regbtc block" in outcome.out
    assert ledger("audit", "--terms", "regbtc:4:123:2:3600").exit_code == 0


@pytest.mark.parametrize(
    "words", [("audit",), ("statement", "anna"), ("export", "--chain", "regbtc", "--block", HASH_HEX)]
)
def test_cli_ledger_without_books_is_wrong_use_and_makes_none(
    ledger: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    outcome = ledger(*words)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert f"there are no books yet: {tmp_path / 'pool.sqlite'}" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_cli_ledger_says_what_is_no_database(ledger: Run, tmp_path: Path) -> None:
    (tmp_path / "pool.sqlite").write_text("these are no books at all, and nothing that SQLite would know")
    outcome = ledger("audit")
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert "the books cannot be read: file is not a database" in outcome.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("audit", "--terms", "regbtc"), "--terms: expected CHAIN:LAST_HEIGHT:FEE_PPM:FACTOR:WINDOW_MIN_S, such as"),
        (("statement",), "Missing argument 'ADDRESS'."),
        (("export", "--chain", "regbtc"), "Missing option '--block'."),
        (("export", "--chain", "regbtc", "--block", HASH_HEX, "--format", "xml"), "'xml' is not one of 'json', 'csv'"),
    ],
)
def test_cli_ledger_wrong_use_is_one_line_and_exit_code_2(
    ledger: Run, books: Path, words: tuple[str, ...], line: str
) -> None:
    outcome = ledger(*words)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert line in outcome.err
    assert outcome.err.count("\n") == 1


def test_cli_ledger_statement_explains_and_adds_up(ledger: Run, books: Path) -> None:
    outcome = ledger("statement", "anna")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "  weight 150 = 75.0000 % of it, amount " in outcome.out
    assert "4 shares, total weight 200" in outcome.out
    assert "bert" not in outcome.out


def test_cli_ledger_statement_that_does_not_add_up_ends_with_1(ledger: Run, books: Path) -> None:
    with closing(sqlite3.connect(books)) as raw, raw:
        raw.execute("UPDATE balances SET amount = 0 WHERE account LIKE 'liab.%'")
    outcome = ledger("statement", "anna")
    assert outcome.exit_code == 1
    assert "balance immature: 0, but the above adds up to " in outcome.out


def test_cli_ledger_statement_of_a_stranger_is_1(ledger: Run, books: Path) -> None:
    assert ledger("statement", "carl\x1b[2J") == Outcome(1, "", "pool: no account has this address\n")


def test_cli_ledger_export_in_both_forms(ledger: Run, books: Path) -> None:
    outcome = ledger("export", "--chain", "regbtc", "--block", HASH_HEX.upper())
    assert (outcome.exit_code, outcome.err) == (0, "")
    export = json.loads(outcome.out)
    assert export["fee"] + sum(credit["amount"] for credit in export["credits"]) == export["reward"] == REWARD
    table = ledger("export", "--chain", "regbtc", "--block", HASH_HEX, "--format", "csv")
    assert table.exit_code == 0
    assert [line.split(",")[9] for line in table.out.splitlines()] == ["address", "anna", "bert"]


def test_cli_ledger_export_of_an_unknown_block_is_1(ledger: Run, books: Path) -> None:
    outcome = ledger("export", "--chain", "alpha", "--block", HASH_HEX)
    assert outcome == Outcome(1, "", "pool: no block of ours on alpha has this hash\n")


def test_cli_ledger_tells_how_far_a_long_audit_is_and_nothing_of_a_quick_one(
    ledger: Run, books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 60.0)
    assert ledger("audit").err == ""
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    outcome = ledger("audit")
    assert outcome.err.startswith("audit: 0 of 3 transfers (0 %), ")
    assert outcome.out.startswith("ok ")
