"""What `pool devnet demo` and `pool devnet up` share: how they show, wait and end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.devnet.demo.children import Child, ChildEndedError
from pool.devnet.demo.interruption import Interruption
from pool.devnet.foreground import Foreground


@pytest.fixture
def front() -> Iterator[Foreground]:
    interrupted = Interruption()
    yield Foreground("demo", interrupted)
    interrupted.close()


def child(folder: Path, program: str) -> Child:
    return Child("one", [sys.executable, "-c", program], folder / "one.log")


def test_foreground_tends_before_each_turn_and_while_it_waits(front: Foreground) -> None:
    tended: list[float] = []
    began_s = time.monotonic()
    for number, _ in enumerate(front.turns(0.6, lambda: tended.append(time.monotonic()))):
        assert tended, "before the first turn"
        if number == 1:
            front.interrupted.set()
    assert len(tended) >= 4 and time.monotonic() - began_s >= 0.6


def test_foreground_says_why_a_child_ended_and_ends_all_the_same(
    front: Foreground, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = child(tmp_path, "print('no room left')")
    ended.process.wait(20)
    ends = []

    def start() -> bool:
        raise ChildEndedError(ended, "ended with exit code 0")

    assert front.run(start, lambda: pytest.fail("shown"), lambda: ends.append(True)) == 1
    told = capfd.readouterr().err
    assert "one ended with exit code 0" in told and "no room left" in told and str(ended.log_path) in told
    assert ends == [True]


def test_foreground_tells_what_the_system_refused(front: Foreground, capfd: pytest.CaptureFixture[str]) -> None:
    def start() -> bool:
        raise PermissionError(13, "Permission denied", "/data")

    assert front.run(start, lambda: None, lambda: None) == 1
    assert "the demo cannot run: [Errno 13] Permission denied: '/data'" in capfd.readouterr().err


def test_foreground_shows_lines_where_there_is_no_terminal(
    front: Foreground, capfd: pytest.CaptureFixture[str]
) -> None:
    front.show(lambda interval_s: [1, 2], lambda view: [f"view {view}", "second line"], str)
    assert capfd.readouterr().out == "view 1\nsecond line\nview 2\nsecond line\n"


def test_foreground_takes_a_reader_who_left_for_a_wish_to_stop(front: Foreground) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        front.say("hello", stream)
        assert front.interrupted.is_set()
        front.say("nobody hears", stream)


def test_foreground_stops_stage_by_stage_and_is_silent_about_nothing(
    front: Foreground, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    front.stop(([], []), tmp_path)
    assert capfd.readouterr().out == ""
    first, second = (child(tmp_path, "import time; time.sleep(60)") for _ in range(2))
    front.stop(([first], [second]), tmp_path)
    assert first.exit_code() is not None and second.exit_code() is not None
    assert f"everything is kept in {tmp_path}" in capfd.readouterr().out
