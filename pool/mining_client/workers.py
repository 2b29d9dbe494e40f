"""The hashing processes: each gets one piece of work at a time and reports what it tried and found.

Processes, not threads, because hashing small inputs holds the interpreter lock. A worker ends when the pipe to its
parent closes, which it does however the parent dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from pool.mining_client.search import FIRST_BATCH, NONCES, SEARCHES

BATCH_S = 0.1  # how long a worker hashes before it reports and looks for newer work
JOIN_S = 3.0
NICENESS = 10  # a miner on the pool's own machine must not slow the pool down


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work: nonces from `first_nonce` to the last behind the 76 bytes of a header."""

    unit_id: int
    head: bytes
    target: int
    first_nonce: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a batch: hashes tried, nonces that meet the target, and whether the unit's nonces are used up."""

    unit_id: int
    hashes: int
    nonces: tuple[int, ...]
    exhausted: bool


class Worker:
    """One hashing process, as its parent sees it."""

    def __init__(self, algorithm: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, algorithm), daemon=True, name="parapool-hashing")
        # Ctrl-C and SIGTERM reach the whole process group, but only the parent decides: its processes are born with
        # both blocked, and end when the pipe closes. Starting the resource tracker unblocks them, so it goes first.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()

    def assign(self, unit: Unit | None) -> None:
        """Work on this from now on; None rests. Raises OSError when the process is gone."""
        self.connection.send(unit)

    def reports(self) -> list[Report]:
        """All reports that have arrived. Raises EOFError or OSError when the process is gone."""
        arrived = []
        while self.connection.poll():
            arrived.append(self.connection.recv())
        return arrived

    def close(self) -> None:
        """End the process and wait for it."""
        self.connection.close()
        self.process.join(JOIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def work(connection: Connection, algorithm: str) -> None:
    """A worker's life: the newest unit, batch by batch, until the pipe closes."""
    os.nice(NICENESS)
    search, batch = SEARCHES[algorithm], FIRST_BATCH[algorithm]
    unit: Unit | None = None
    nonce = 0
    try:
        while True:
            while unit is None or connection.poll():
                unit = connection.recv()
                nonce = unit.first_nonce if unit is not None else 0
            begun_s = time.perf_counter()
            tried, found = search(unit.head, unit.target, nonce, batch)
            took_s = time.perf_counter() - begun_s
            nonce += tried
            exhausted = nonce >= NONCES
            connection.send(Report(unit.unit_id, tried, tuple(found), exhausted))
            if exhausted:
                unit = None
            elif not found and took_s > 0:
                batch = max(1, min(int(batch * BATCH_S / took_s), 4 * batch))
    except (EOFError, OSError):
        return  # the parent closed the pipe or is gone
