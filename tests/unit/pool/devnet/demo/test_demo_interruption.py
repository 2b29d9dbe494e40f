"""Ctrl-C at any moment is a wish to stop, and nothing worse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pool.devnet.demo.interruption import SIGNALS, Interruption, by_signals

ANSWERS_TO_MANY = """
import signal, sys
from pool.devnet.demo.interruption import by_signals
with by_signals() as interruption:
    print("ready", flush=True)
    for line in sys.stdin.buffer:
        waits = 0
        while waits < 20_000:
            interruption.wait(0.0)
            interruption.set()
            waits += 1
        print("well", flush=True)
"""
ROUNDS = 10


@pytest.mark.parametrize("number", SIGNALS)
def test_interruption_is_told_by_each_signal_and_ends_a_wait(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with by_signals() as interruption:
        assert not interruption.wait(0.0) and not interruption.is_set()
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        began_s = time.monotonic()
        assert interruption.wait(60.0) and interruption.is_set()
        assert time.monotonic() - began_s < 30.0
    assert signal.getsignal(number) == before


def test_interruption_takes_any_number_of_wishes() -> None:
    interruption = Interruption()
    for _ in range(100_000):  # more than a pipe holds
        interruption.set()
    assert interruption.wait(0.0)
    interruption.close()


def test_interruption_in_the_middle_of_a_wait_stops_nothing_for_ever() -> None:
    """As threading.Event does after some hundred signals."""
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERS_TO_MANY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        for _ in range(ROUNDS):
            child.stdin.write(b"\n")
            child.stdin.flush()
            for _ in range(300):
                child.send_signal(signal.SIGINT)
            hung = threading.Timer(60.0, child.kill)
            hung.start()
            assert child.stdout.readline() == b"well\n"
            hung.cancel()
        child.stdin.close()
        assert child.wait(60.0) == 0
