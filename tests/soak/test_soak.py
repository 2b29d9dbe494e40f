"""The soak in short, and that its verdicts are no empty words."""

from __future__ import annotations

from pathlib import Path

from soak_run import Part, as_notified, soak
from soak_statistics import hashrates, retargets
from support.verdicts import Verdicts


async def test_soak_of_seconds_meets_its_bars(tmp_path: Path) -> None:
    verdicts = Verdicts(quiet=True)
    await soak([Part(100, 0.5, 5.0)], tmp_path / "soak", verdicts)
    # A machine full of tests makes tips late; what is wrong at any speed may not happen.
    failed = [text for text in verdicts.failed if "stale" not in text and "of the goal" not in text]
    assert failed == [], verdicts.table()
    assert "unexplained rejects" in verdicts.table() and "every accepted share" in verdicts.table()


def test_soak_vardiff_and_hashrates_keep_to_their_margins_in_virtual_time(tmp_path: Path) -> None:
    verdicts = Verdicts(quiet=True)
    hashrates(verdicts, tmp_path, workers=300, hour_workers=20)
    retargets(verdicts)
    assert verdicts.failed == [] and len(verdicts.rows) == 8, verdicts.table()


def test_soak_verdict_says_what_missed_its_bar() -> None:
    verdicts = Verdicts(quiet=True)
    verdicts.at_most("memory", 6.0, 5.0, " %")
    verdicts.at_least("rate", 700.0, 667.0)
    verdicts.holds("stored", "1 of 2", False)
    verdicts.figure("p99", "3 ms")
    assert verdicts.failed == ["memory: 6 %, at most 5 %", "stored: 1 of 2, has to hold"]
    assert "| memory | 6 % | at most 5 % | MISSED |" in verdicts.table()


def test_soak_knows_a_tip_as_miners_are_told_it() -> None:
    hash_hex = "".join(f"{number:02x}" for number in range(32))
    assert as_notified(hash_hex) == "1c1d1e1f18191a1b1415161710111213" + "0c0d0e0f08090a0b0405060700010203"
