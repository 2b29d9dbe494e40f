"""`pool ledger front-ends` and `write-off`: what an operator sees of front ends, and how a dead one is given up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pool.cli import commands
from pool.config.configuration import load
from pool.shares.watermark import Watermark
from pool.storage.books import SqlBooks
from pool.storage.database import Database, upgrade

DEVNET = str(Path(__file__).parents[4] / "deploy/devnet.yaml")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        given = ["-c", DEVNET, "--set", f"pool.data_dir={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["pool", "ledger", *words, *given])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def two(tmp_path: Path) -> None:
    """A front end at work, and one that is silent for an hour."""
    url = load(DEVNET, {"pool.data_dir": str(tmp_path)}).database_url()
    upgrade(url)
    database = Database(url)
    now_ms = time.time_ns() // 1_000_000
    SqlBooks(database, "devnet", "devnet").drain(Watermark(7, now_ms), now_ms)
    SqlBooks(database, "devnet/eu", "devnet").drain(Watermark(3, now_ms - 3_600_000), now_ms)
    SqlBooks(database, "other", "other").drain(Watermark(3, now_ms), now_ms)
    database.close()


def test_cli_front_ends_are_listed_with_how_far_they_drained(ledger: Run, two: None) -> None:
    code, out, _ = ledger("front-ends")
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("devnet  drained ") and second.startswith("devnet/eu  drained 36")


def test_cli_write_off_is_for_those_that_are_silent(ledger: Run, two: None) -> None:
    assert ledger("write-off", "devnet/eu") == (0, "devnet/eu is written off\n", "")
    assert ledger("write-off", "devnet/eu")[0] == 0
    assert "devnet/eu  written off" in ledger("front-ends")[1]
    code, _, err = ledger("write-off", "devnet")
    assert code == 1 and "devnet is at work" in err
    code, _, err = ledger("write-off", "other")
    assert code == 2 and "there is no front end 'other', only devnet, devnet/eu" in err


def test_cli_front_ends_of_no_books_are_wrong_use(ledger: Run) -> None:
    code, _, err = ledger("front-ends")
    assert code == 2 and "there are no books yet" in err
