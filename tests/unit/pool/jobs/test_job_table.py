"""Which jobs may still earn something, and for which chains."""

from __future__ import annotations

from support.job_factory import JobFactory, aux_template, parent_template

from pool.jobs import job_table
from pool.jobs.job_table import CHAIN_GRACE_S


def test_table_keeps_the_jobs_of_the_current_and_the_previous_tip():
    jobs = JobFactory()
    first = jobs.make(parent_template(previous=b"a" * 32))
    second = jobs.make(parent_template(previous=b"b" * 32))
    assert jobs.table.get(first.job_id) is first and first.tip is jobs.table.previous_tip
    third = jobs.make(parent_template(previous=b"c" * 32))
    assert jobs.table.get(first.job_id) is None
    assert jobs.table.get(second.job_id) is second and jobs.table.get(third.job_id) is third
    assert jobs.table.current is third and len(jobs.table) == 2


def test_table_keeps_every_job_of_a_tip_whatever_was_sent_as_clean():
    jobs = JobFactory()
    made = [jobs.make(parent_template(), aux_template("alpha", n), clean=True) for n in range(1, 6)]
    assert [jobs.table.get(job.job_id) for job in made] == made
    assert all(job.tip is jobs.table.tip for job in made)


def test_table_forgets_the_oldest_job_at_the_limit(monkeypatch):
    monkeypatch.setattr(job_table, "MAX_JOBS_PER_TIP", 3)
    jobs = JobFactory()
    made = [jobs.make() for _ in range(4)]
    assert jobs.table.get(made[0].job_id) is None and len(jobs.table) == 3


def test_table_takes_the_previous_tip_back_with_its_jobs_and_shares():
    jobs = JobFactory()
    old = jobs.make(parent_template(previous=b"a" * 32))
    old.tip.seen.add(b"x")
    other = jobs.make(parent_template(previous=b"b" * 32))
    again = jobs.make(parent_template(previous=b"a" * 32))
    assert jobs.table.get(old.job_id) is old and old.tip is again.tip is jobs.table.tip
    assert b"x" in again.tip.seen
    assert other.tip is jobs.table.previous_tip


def test_table_counts_a_chain_until_30_s_after_its_newer_template():
    jobs = JobFactory()
    old = jobs.make(None, aux_template("alpha", 1), aux_template("regnmc", 1), now=0.0)
    jobs.make(None, aux_template("alpha", 2), aux_template("regnmc", 1), now=100.0)
    assert jobs.table.counted_chains(old, 100.0 + CHAIN_GRACE_S - 0.1) == ("regbtc", "alpha", "regnmc")
    assert jobs.table.counted_chains(old, 100.0 + CHAIN_GRACE_S) == ("regbtc", "regnmc")


def test_table_counts_a_chain_that_left_the_tree_for_30_s_more():
    jobs = JobFactory()
    old = jobs.make(None, aux_template("alpha", 1), now=0.0)
    jobs.make(None, now=10.0)
    assert "alpha" in jobs.table.counted_chains(old, 10.0 + CHAIN_GRACE_S - 1)
    assert "alpha" not in jobs.table.counted_chains(old, 10.0 + CHAIN_GRACE_S + 1)


def test_table_counts_a_template_again_that_is_mined_again():
    jobs = JobFactory()
    old = jobs.make(None, aux_template("alpha", 1), now=0.0)
    jobs.make(None, aux_template("alpha", 2), now=10.0)
    jobs.make(None, aux_template("alpha", 1), now=50.0)
    assert "alpha" in jobs.table.counted_chains(old, 1000.0)
