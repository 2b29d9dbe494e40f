"""Which jobs may still earn something, and for which chains."""

from __future__ import annotations

from dataclasses import replace

from support.job_factory import JobFactory, aux_template, parent_template

from pool.jobs import job_table
from pool.jobs.job_table import CHAIN_GRACE_S

X, Y = b"x" * 32, b"y" * 32


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
    old.tip.seen.add(X)
    other = jobs.make(parent_template(previous=b"b" * 32))
    again = jobs.make(parent_template(previous=b"a" * 32))
    assert jobs.table.get(old.job_id) is old and old.tip is again.tip is jobs.table.tip
    assert X in again.tip.seen
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


def test_table_remembers_seen_shares_when_a_tip_comes_back_after_another():
    """A to B and back: the new jobs on A may be word for word those of before."""
    jobs = JobFactory()
    jobs.make(parent_template(previous=b"a" * 32)).tip.seen.add(X)
    jobs.make(parent_template(previous=b"b" * 32)).tip.seen.add(Y)
    seen = jobs.make(parent_template(previous=b"a" * 32)).tip.seen
    assert X in seen and Y not in seen


def test_table_gives_the_shares_of_before_a_restart_to_the_first_tip_only():
    table = job_table.JobTable([X, Y])
    seen = table.move_tip(b"a" * 32).seen
    assert X in seen and Y in seen and len(seen) == 2
    assert not table.move_tip(b"b" * 32).seen


def test_table_frees_an_old_tip_only_after_the_first_job_of_the_new_one():
    """Freeing the hashes of an hour takes long enough to notice, and a new tip is when nobody may wait."""
    jobs = JobFactory()
    old = jobs.make(parent_template(previous=b"a" * 32)).tip
    jobs.make(parent_template(previous=b"b" * 32))
    jobs.make(parent_template(previous=b"c" * 32))
    assert jobs.table._over is old
    jobs.make(parent_template(previous=b"c" * 32))
    assert jobs.table._over is None


def test_table_bounds_the_shares_it_remembers(monkeypatch):
    monkeypatch.setattr(job_table, "MAX_SEEN_PER_TIP", 3)
    jobs = JobFactory()
    made = [jobs.make(), jobs.make()]
    for number in range(3):
        made[0].tip.seen.add(bytes([number]) * 32)
    assert all(jobs.table.get(job.job_id) is job for job in made)
    newest = jobs.make()
    assert not newest.tip.seen
    # No share of it can be told from a repetition any more, so there is none.
    assert jobs.table.get(made[0].job_id) is None
    assert jobs.table.get(made[1].job_id) is made[1] and jobs.table.get(newest.job_id) is newest
    assert list(newest.tip.job_ids) == [made[1].job_id, newest.job_id]


def test_table_bounds_the_templates_it_remembers_as_over(monkeypatch):
    monkeypatch.setattr(job_table, "MAX_JOBS_PER_TIP", 4)
    jobs = JobFactory()
    for number in range(400):
        aux_hash = number.to_bytes(32, "little")
        jobs.make(None, *(replace(aux_template(chain), aux_hash=aux_hash) for chain in ("alpha", "beta", "regnmc")))
    assert len(jobs.table) == 4 and len(jobs.table._superseded_at) <= 50


def test_table_forgets_a_replaced_template_with_its_last_job_only(monkeypatch):
    monkeypatch.setattr(job_table, "MAX_JOBS_PER_TIP", 8)
    jobs = JobFactory()
    made = []
    for number in range(200):
        aux_hash = number.to_bytes(32, "little")
        made.append(jobs.make(None, replace(aux_template("alpha"), aux_hash=aux_hash), now=float(number)))
    for job in made[-8:-1]:
        assert "alpha" not in jobs.table.counted_chains(job, 1e6), "over, and known to be"


def test_table_answers_the_same_from_memory_as_anew():
    """The chains of a job are remembered until a chain's grace ends or a template is replaced or returns."""
    jobs = JobFactory()
    one = aux_template("alpha", 1), aux_template("regnmc", 1)
    old = jobs.make(None, *one, now=0.0)
    everything, without = ("regbtc", "alpha", "regnmc"), ("regbtc", "regnmc")
    counted = jobs.table.counted_chains
    assert counted(old, 1.0) == everything and counted(old, 1.0) is counted(old, 1e9)
    jobs.make(None, aux_template("alpha", 2), one[1], now=100.0)
    assert counted(old, 101.0) == everything, "in its grace"
    assert counted(old, 101.0) is counted(old, 100.0 + CHAIN_GRACE_S - 0.001)
    assert counted(old, 100.0 + CHAIN_GRACE_S) == without
    jobs.make(None, *one, now=200.0)
    assert counted(old, 201.0) == everything, "mined again"
    jobs.make(None, aux_template("alpha", 3), one[1], now=300.0)
    assert counted(old, 301.0) == everything and counted(old, 331.0) == without
    jobs.make(None, aux_template("alpha", 3), aux_template("regnmc", 2), now=310.0)
    assert counted(old, 335.0) == without, "each chain's grace ends by itself"
    assert counted(old, 341.0) == ("regbtc",)


def test_table_ends_two_graces_at_their_own_times():
    jobs = JobFactory()
    old = jobs.make(None, aux_template("alpha", 1), aux_template("regnmc", 1), now=0.0)
    jobs.make(None, aux_template("alpha", 2), aux_template("regnmc", 1), now=10.0)
    jobs.make(None, aux_template("alpha", 2), aux_template("regnmc", 2), now=20.0)
    assert [len(jobs.table.counted_chains(old, at)) for at in (21.0, 39.9, 40.0, 49.9, 50.0)] == [3, 3, 2, 2, 1]


def test_table_counts_a_chain_again_that_comes_back_with_the_template_it_left_with():
    jobs = JobFactory()
    old = jobs.make(None, aux_template("alpha", 1), now=0.0)
    jobs.make(None, now=10.0)
    assert jobs.table.counted_chains(old, 50.0) == ("regbtc",)
    jobs.make(None, aux_template("alpha", 1), now=60.0)
    assert jobs.table.counted_chains(old, 61.0) == ("regbtc", "alpha")
