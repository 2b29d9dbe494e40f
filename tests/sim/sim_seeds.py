"""Plays many seeds, several at a time in processes of their own, and tells which failed and how to play them again."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# The doubles that the storage tests have as well are in the folder above, also for a process of its own.
sys.path.insert(0, str(Path(__file__).parent.parent))

from books_run import run_books
from books_world import shared_folder, work_in
from payouts_run import run_payouts
from support.bk_network import run_anything
from votes_run import run_votes


class Job(NamedTuple):
    """One run: which simulation, which seed, and where its only fault is, if it is not the seed that decides."""

    name: str
    seed: int
    crash_at: int | None = None
    error_at: int | None = None

    def __str__(self) -> str:
        crash = f" crash_at={self.crash_at}" if self.crash_at else ""
        error = f" error_at={self.error_at}" if self.error_at else ""
        return f"{self.name} seed={self.seed}{crash}{error}"


@dataclass(slots=True)
class Tally:
    """What many runs came to: failures by job, and how often what happened."""

    runs: int = 0
    failures: dict[Job, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, job: Job, failure: str | None, counts: Counter[str]) -> None:
        self.runs += 1
        self.counts.update(counts)
        if failure is not None:
            self.failures[job] = failure

    def __str__(self) -> str:
        again = "again: SIM_JOB='{0}' .venv/bin/pytest tests/sim -k again"
        lines = [f"{job}\n{text}\n{again.format(job)}" for job, text in self.failures.items()]
        return "\n".join(lines[:5]) or "ok"


def play(job: Job) -> tuple[Job, str | None, Counter[str]]:
    """One run; a traceback when it failed."""
    try:
        return job, None, _run_of(job)
    except Exception:
        return job, traceback.format_exc(limit=-8), Counter()


def _books(job: Job, steps: int | None = None) -> Counter[str]:
    report = run_books(job.seed, steps=steps, crash_at=job.crash_at, error_at=job.error_at)
    return Counter({"points": report.points, "crashes": report.crashes}) + report.blocks + report.groups


def _votes(job: Job, steps: int | None = None) -> Counter[str]:
    report = run_votes(job.seed, steps=steps, crash_at=job.crash_at, error_at=job.error_at)
    return Counter({"points": report.points, "crashes": report.crashes}) + report.blocks + report.groups


def _payouts(job: Job, steps: int | None = None) -> Counter[str]:
    report = run_payouts(job.seed, steps=steps, crash_at=job.crash_at, error_at=job.error_at)
    return Counter({"points": report.points, "crashes": report.crashes}) + report.batches + report.groups


def _account_payouts(job: Job, steps: int | None = None) -> Counter[str]:
    report = run_payouts(job.seed, steps=steps, crash_at=job.crash_at, error_at=job.error_at, account=True)
    return Counter({"points": report.points, "crashes": report.crashes}) + report.batches + report.groups


def _bk(job: Job, steps: int | None = None) -> Counter[str]:
    return run_anything(job.seed)


SIMULATIONS: dict[str, Callable[..., Counter[str]]] = {
    "books": _books, "votes": _votes, "payouts": _payouts, "account-payouts": _account_payouts, "bk": _bk,
}  # fmt: skip
SHORT_STEPS = 4
"""How much happens in a run that is repeated for each of its points."""


def _run_of(job: Job) -> Counter[str]:
    if job.name.startswith("short-"):
        return SIMULATIONS[job.name.removeprefix("short-")](job, SHORT_STEPS)
    return SIMULATIONS[job.name](job)


def read_job(text: str) -> Job:
    """`books seed=12 crash_at=3`, as failures are told; `12` alone is a seed of the books."""
    if text.isdigit():
        return Job("books", int(text))
    name, *words = text.split()
    return Job(name, **{key: int(value) for key, value in (word.split("=") for word in words)})


def play_all(
    jobs: Sequence[Job], *, processes: int | None = None, progress: Callable[[Tally], None] = lambda tally: None
) -> Tally:
    """Every job, spread over the machine's processors."""
    tally = Tally()
    processes = processes or min(8, os.cpu_count() or 1)
    if processes == 1:
        outcomes: Iterable[tuple[Job, str | None, Counter[str]]] = map(play, jobs)
        for outcome in outcomes:
            tally.add(*outcome)
            progress(tally)
        return tally
    # Not forked: the test suite's process has threads.
    spawn = multiprocessing.get_context("spawn")
    with shared_folder() as folder, spawn.Pool(processes, initializer=work_in, initargs=(folder,)) as pool:
        for outcome in pool.imap_unordered(play, jobs, chunksize=5):
            tally.add(*outcome)
            progress(tally)
    return tally
