"""`make demo` at a terminal, with a stand-in for the program: Ctrl-C ends it without a word of make's own."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[5]
LIMIT_S = 60.0

STAND_IN = f"""\
#!{sys.executable}
import os, signal, time
stop = []
signal.signal(signal.SIGINT, lambda number, frame: stop.append(number))
print("ready", os.environ["MINER"], flush=True)
while not stop:
    time.sleep(0.01)
time.sleep(0.1)
print("stopped", flush=True)
"""


def test_demo_make_adds_nothing_to_ctrl_c(tmp_path: Path) -> None:
    program = tmp_path / "pool"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    command = ["make", "-C", str(ROOT), "--no-print-directory", "-o", "install", "demo", f"BIN={tmp_path}", "MINER=0"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    try:
        read = _read_until("ready 0", terminal)
        os.write(terminal, b"\x03")
        read += _read_until(None, terminal)
    finally:
        os.close(terminal)  # whatever still runs is hung up on
        os.waitpid(pid, 0)
    assert read.replace("\r\n", "\n").replace("^C", "") == "ready 0\nstopped\n"


def _read_until(word: str | None, terminal: int) -> str:
    """What is written to a terminal until a word stands there; without one until the last program has gone."""
    read = ""
    until = time.monotonic() + LIMIT_S
    while word is None or word not in read:
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"nothing more than {read!r}"
        try:
            more = os.read(terminal, 4096)
        except OSError:  # what Linux says of a terminal whose last program has gone
            more = b""
        if not more:
            break
        read += more.decode()
    return read
