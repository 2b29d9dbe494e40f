"""The demo's child processes, with small Python programs in their place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pool.devnet.demo.children import Child, ChildEndedError, raise_if_ended, stop, wait_until

OBEDIENT = "import time; print('starting'); print('READY pid=1 port=2'); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('READY'); time.sleep(60)"
FAILING = "import sys; print('one'); print('no such file: x', file=sys.stderr); sys.exit(3)"

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Child] = []

    def run(program: str, name: str = "child") -> Child:
        child = Child(name, [sys.executable, "-c", program], tmp_path / "logs" / f"{name}.log")
        started.append(child)
        return child

    yield run
    stop(started, 0.0)


def wait(seconds: float) -> bool:
    """Nobody interrupts."""
    time.sleep(seconds)
    return False


def test_demo_child_is_ready_when_it_says_so_and_ends_when_told(start: Start):
    child = start(OBEDIENT)
    assert wait_until(child.is_ready, [child], wait, 20)
    assert child.exit_code() is None
    assert stop([child]) == []
    assert child.exit_code() == -signal.SIGTERM


def test_demo_child_of_an_earlier_start_does_not_make_this_one_ready(start: Start):
    first = start(OBEDIENT)
    assert wait_until(first.is_ready, [first], wait, 20)
    stop([first])
    second = start("import time; time.sleep(60)")
    assert second.log_path == first.log_path
    assert not wait_until(second.is_ready, [second], wait, 0.3)


def test_demo_child_that_ends_is_named_with_its_last_lines(start: Start):
    child = start(FAILING, "node alpha")
    with pytest.raises(ChildEndedError, match="node alpha ended with exit code 3") as ended:
        wait_until(child.is_ready, [child], wait, 20)
    assert ended.value.child.tail() == ["one", "no such file: x"]


def test_demo_child_killed_from_outside_is_noticed(start: Start):
    child = start(OBEDIENT)
    os.kill(child.pid, signal.SIGKILL)
    child.process.wait(10)
    with pytest.raises(ChildEndedError, match="was ended by SIGKILL"):
        raise_if_ended([child])


def test_demo_child_that_ignores_sigterm_is_killed_after_the_limit(start: Start):
    deaf, obedient = start(DEAF, "deaf"), start(OBEDIENT, "obedient")
    assert wait_until(lambda: deaf.is_ready() and obedient.is_ready(), [deaf, obedient], wait, 20)
    assert stop([deaf, obedient], 0.5) == ["deaf"]
    assert (deaf.exit_code(), obedient.exit_code()) == (-signal.SIGKILL, -signal.SIGTERM)


def test_demo_stop_of_ended_children_does_nothing(start: Start):
    child = start(FAILING)
    child.process.wait(20)
    assert stop([child]) == []


def test_demo_waiting_ends_when_interrupted(start: Start):
    child = start("import time; time.sleep(60)")
    assert not wait_until(child.is_ready, [child], lambda seconds: True, 60)


def test_demo_tail_of_a_long_log_is_short(start: Start):
    child = start("print('x' * 50_000); [print(n) for n in range(100)]")
    child.process.wait(20)
    assert child.tail() == [str(n) for n in range(88, 100)]


def test_demo_children_die_with_a_killed_demo(tmp_path: Path):
    parent = (
        "import sys, time; from pathlib import Path; from pool.devnet.demo.children import Child\n"
        "program = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"print(Child('c', program, Path({str(tmp_path / 'c.log')!r})).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        child_pid = int(demo.stdout.readline())
        demo.kill()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child_pid):
        time.sleep(0.05)
    assert not _runs(child_pid)


def _runs(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
