"""Faults in short that no other test plays: of clock, disk and Redis, under load. All of them: `make nightly`."""

from __future__ import annotations

from pathlib import Path

from fault_list import FAULTS
from faults_run import faults
from fleet_run import fleet
from support.verdicts import Verdicts

SHORT = ("Redis hangs", "the clock goes forward an hour", "the clock goes back an hour", "a sync of the disk fails")


async def test_faults_of_clock_disk_and_redis_lose_no_answered_share_and_no_solve(tmp_path: Path) -> None:
    verdicts = Verdicts(quiet=True)
    chosen = [fault for fault in FAULTS if fault.name in SHORT]
    assert len(chosen) == len(SHORT)
    await faults(chosen, tmp_path, verdicts, connections=20, share_s=0.3, seconds=0.5, postgresql=False)
    assert verdicts.failed == [], verdicts.table()


async def test_faults_a_front_end_that_hangs_leaves_its_miners_to_others(tmp_path: Path) -> None:
    verdicts = Verdicts(quiet=True)
    await fleet(tmp_path, verdicts, connections=20, share_s=0.3, silent_s=2.0, rescues=0)
    failed = [text for text in verdicts.failed if "seconds" not in text]  # of a machine full of tests
    assert failed == [], verdicts.table()
