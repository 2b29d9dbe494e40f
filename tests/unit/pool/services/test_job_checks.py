"""The trial of each new form of a job beside the mining: once a shape, after the job went out, loud when it fails."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from support.job_factory import KINDS, SCRIPT, JobFactory, aux_template, parent_template

from pool.jobs.proof_trial import Trial, TrialTerms
from pool.services import job_checks
from pool.services.job_checks import JobChecks

ALL = ("regnmc", "regdoge", "alpha", "beta")
TERMS = TrialTerms(KINDS, "sha256d", SCRIPT, frozenset({"regnmc", "regdoge"}))
LIMIT_S = 30.0


@asynccontextmanager
async def running(checks: JobChecks) -> AsyncIterator[JobChecks]:
    task = asyncio.get_running_loop().create_task(checks.run())
    try:
        yield checks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def a_job(factory: JobFactory, *names: str, tip: bytes = b"\x11" * 32):
    return factory.make(parent_template(previous=tip), *(aux_template(name, n + 1) for n, name in enumerate(names)))


async def test_checks_try_a_new_shape_once_on_every_chain():
    factory = JobFactory()
    async with running(JobChecks(TERMS, begin_s=0)) as checks:
        checks.saw(a_job(factory, *ALL))
        await until(lambda: checks.results.total() == 5)
        checks.saw(a_job(factory, *ALL, tip=b"n" * 32))
        checks.saw(a_job(factory, "alpha", tip=b"n" * 32))
        await until(lambda: checks.results["alpha", "holds"] == 2)
    expected = {("regbtc", "holds"): 2, ("alpha", "holds"): 2}
    assert +checks.results == expected | {(chain, "holds"): 1 for chain in ("regnmc", "regdoge", "beta")}
    assert set(checks.results) == {(c, r) for c in ("regbtc", *ALL) for r in ("holds", "fails", "broken")}


async def test_checks_tell_a_proof_that_would_be_refused(caplog):
    factory = JobFactory()
    job = a_job(factory, *ALL)
    slots = {**job.commitments.slots, "alpha": job.commitments.slots["beta"]}
    job.commitments = replace(job.commitments, slots=slots)
    with caplog.at_level(logging.ERROR, "parapool.jobs"):
        async with running(JobChecks(TERMS, begin_s=0)) as checks:
            checks.saw(job)
            await until(lambda: checks.results["beta", "holds"])
    assert checks.results["alpha", "fails"] == 1 and checks.results["regbtc", "holds"] == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("alarm: a proof of this job would be refused: no proof can be made")
    assert line.endswith(f" chain=alpha job={job.job_id}")


async def test_checks_go_on_after_a_trial_that_breaks(caplog):
    broken = iter([True])

    def trial(job, terms, pause):
        if next(broken, False):
            raise RuntimeError("a fault of the check")
        return [Trial("regbtc", "")]

    factory = JobFactory()
    async with running(JobChecks(TERMS, begin_s=0, trial=trial)) as checks:
        checks.saw(a_job(factory, "alpha"))
        await until(lambda: checks.results["alpha", "broken"])
        checks.saw(a_job(factory, "beta"))
        await until(lambda: checks.results["regbtc", "holds"])
    assert "alarm: a job's proofs could not be tried" in caplog.text and "a fault of the check" in caplog.text


async def test_checks_wait_until_the_job_is_out_and_leave_the_loop_alone():
    threads: list[int] = []
    goes_on = threading.Event()

    def trial(job, terms, pause):
        threads.append(threading.get_ident())
        assert goes_on.wait(LIMIT_S), "the loop waits for the trial"
        return [Trial("regbtc", "")]

    async with running(JobChecks(TERMS, begin_s=0.1, trial=trial)) as checks:
        checks.saw(a_job(JobFactory()))
        await asyncio.sleep(0)
        assert threads == [], "sent first, tried later"
        await until(lambda: threads)
        goes_on.set()
        await until(lambda: checks.results["regbtc", "holds"])
    assert threads[0] != threading.get_ident()


async def test_checks_keep_the_newest_shapes_when_too_many_wait(monkeypatch):
    monkeypatch.setattr(job_checks, "MOST_WAITING", 2)
    tried: list[tuple[str, ...]] = []

    def trial(job, terms, pause):
        tried.append(job.templates.chains()[1:])
        return [Trial("regbtc", "")]

    checks = JobChecks(TERMS, begin_s=0, trial=trial)
    factory = JobFactory()
    for name in ALL:
        checks.saw(a_job(factory, name))
    async with running(checks):
        await until(lambda: checks.results["regbtc", "holds"] == 2)
        checks.saw(a_job(factory, "regnmc"))
        await until(lambda: len(tried) == 3)
    assert tried == [("alpha",), ("beta",), ("regnmc",)]


async def test_checks_forget_shapes_rather_than_grow(monkeypatch):
    monkeypatch.setattr(job_checks, "MOST_REMEMBERED", 1)
    factory = JobFactory()
    async with running(JobChecks(TERMS, begin_s=0)) as checks:
        for number, name in enumerate(("alpha", "beta", "alpha")):
            checks.saw(a_job(factory, name))
            await until(lambda: checks.results["regbtc", "holds"] == number + 1)  # noqa: B023
    assert checks.results["alpha", "holds"] == 2


async def test_checks_judge_a_job_by_the_terms_it_was_made_under():
    """A reload may take out a chain, or change an address, while a job of before waits for its trial."""
    other = b"\x51"
    checks = JobChecks(TERMS, begin_s=0)
    factory = JobFactory()
    checks.saw(a_job(factory, "alpha"))
    checks.terms = TrialTerms({}, "sha256d", other)
    assert checks.terms.payout_script == other
    async with running(checks):
        await until(lambda: checks.results["alpha", "holds"])
        checks.saw(factory.make(parent_template(), payout_script=other))
        await until(lambda: checks.results["regbtc", "holds"] == 2)
        checks.terms = TERMS
        checks.saw(a_job(factory))
        await until(lambda: checks.results["regbtc", "holds"] == 3)
        checks.terms = TERMS._replace(payout_script=other)
        checks.saw(a_job(factory))
        await until(lambda: checks.results["regbtc", "fails"])
    assert not [key for key in +checks.results if key[1] == "broken"]


@pytest.mark.parametrize("sizes", [(4,), (4, 8)])
async def test_checks_cost_no_more_than_a_moment(sizes):
    """The whole trial of five chains, pauses included."""
    factory = JobFactory()
    async with running(JobChecks(TERMS, begin_s=0)) as checks:
        job = factory.make(None, *(aux_template(name, n + 1) for n, name in enumerate(ALL)), extranonce2_sizes=sizes)
        begun = time.process_time()
        checks.saw(job)
        await until(lambda: checks.results["beta", "holds"])
    assert time.process_time() - begun < 2.0
