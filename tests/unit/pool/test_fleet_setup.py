"""Slots: names, places and parts that no two of them share; and processes that are known by their folder's lock."""

from __future__ import annotations

import signal
import stat
import sys
import time
from itertools import pairwise
from pathlib import Path

from pool.config.configuration import load
from pool.config.transport import MAX_MACHINES
from pool.data_dir import lock_data_dir
from pool.fleet_setup import (
    MAX_SLOTS,
    fleet_folder,
    session_secret,
    slot_config,
    slot_folder,
    slot_space,
    slots_on_disk,
)
from pool.services.front_end_process import FrontEndProcess, is_locked, known_pid

ROOT = Path(__file__).parents[3]


def test_fleet_setup_no_two_slots_share_anything(tmp_path: Path) -> None:
    config = load(ROOT / "deploy" / "devnet.yaml", {"pool.data_dir": str(tmp_path)})
    slots = [slot_config(config, number) for number in range(1, MAX_SLOTS + 1)]
    assert len({slot.pool.data_dir for slot in slots}) == len({slot.pool.log_name for slot in slots}) == MAX_SLOTS
    assert config.pool.log_name not in {slot.pool.log_name for slot in slots}
    assert all(slot.pool.serves and not slot.pool.keeps_books and not slot.pool.pays for slot in slots)
    assert {slot.pool.name for slot in slots} == {config.pool.name}
    numbers = range(MAX_SLOTS + 1)  # 0 is the mother's
    spaces = [slot_space(number) for number in numbers]
    spaces += [slot_space(number, machine) for machine in range(1, MAX_MACHINES + 1) for number in numbers]
    assert min(space.count for space in spaces) >= 2**20, "stratum.limits.connections_total allows as many"
    for one, other in pairwise(spaces):
        assert one.first + one.count <= other.first


def test_fleet_setup_knows_the_slots_that_ever_were(tmp_path: Path) -> None:
    assert slots_on_disk(tmp_path) == []
    for name in ("1", "10", "2", "0", "99", "x", "socket"):
        (fleet_folder(tmp_path) / name).mkdir(parents=True)
    assert slots_on_disk(tmp_path) == [1, 2, 10]


def test_fleet_setup_the_secret_of_session_ids_is_kept_and_nobody_elses(tmp_path: Path) -> None:
    fleet_folder(tmp_path).mkdir()
    secret = session_secret(tmp_path)
    path = fleet_folder(tmp_path) / "session.key"
    assert len(secret) == 32 and session_secret(tmp_path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("00\n")
    assert len(session_secret(tmp_path)) == 32


def test_front_end_process_lives_as_long_as_it_holds_its_folder(tmp_path: Path) -> None:
    folder = slot_folder(tmp_path, 3)
    assert not is_locked(folder) and known_pid(folder) is None
    script = (
        "import sys, time, pathlib; from pool.data_dir import lock_data_dir; folder = pathlib.Path(sys.argv[1]);"
        "lock = lock_data_dir(folder); (folder / 'pid').write_text(str(__import__('os').getpid())); time.sleep(600)"
    )
    process = FrontEndProcess.start(folder, [sys.executable, "-c", script, str(folder)])
    try:
        _until(lambda: known_pid(folder) == process.pid)
        known = FrontEndProcess(folder, process.pid)  # as another mother sees it
        assert not known.is_over and known.exit_code is None
    finally:
        process.send(signal.SIGKILL)
    _until(lambda: process.is_over)
    assert process.exit_code == -signal.SIGKILL
    assert known.is_over and known_pid(folder) is None
    known.send(signal.SIGKILL)  # to nobody, whoever has the number now


def test_front_end_process_a_look_at_the_lock_leaves_it_free(tmp_path: Path) -> None:
    lock_data_dir(tmp_path).close()
    assert not is_locked(tmp_path)
    held = lock_data_dir(tmp_path)
    assert is_locked(tmp_path)
    held.close()
    assert not is_locked(tmp_path)


def _until(condition) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
