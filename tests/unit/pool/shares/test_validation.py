"""The order of judgement: solves first, then stale, ntime, version bits, duplicate, low difficulty."""

from __future__ import annotations

import hashlib

import pytest
from support.job_factory import JobFactory, aux_template, parent_template
from support.share_kernels import every_kernel

from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch
from chains.primitives.share_kernel import SeenHashes
from pool.jobs.job import NTIME_FORWARD_S
from pool.shares.validation import TIME_OUT_OF_RANGE, VERSION_BITS, validate
from stratum import errors
from stratum.events import Submit

EXTRANONCE1 = bytes.fromhex("01020304")
ANY = 2**256 - 1
NOW = 1_700_000_000


def submit(job, *, extranonce2=b"\x05\x06\x07\x08", ntime=NOW, nonce=1, version_bits=None) -> Submit:
    return Submit(b"1", "w", job.job_id, extranonce2, ntime, nonce, version_bits)


def judge(jobs, job, share, *, target=ANY, mask=0x1FFFE000, pow_hash=None):
    return validate(job, job.layouts[4], share, EXTRANONCE1, mask, target, jobs.table.tip, pow_hash)


__all__ = ["every_kernel"]


@pytest.fixture
def jobs(every_kernel) -> JobFactory:
    return JobFactory()


def test_validation_hashes_the_header_that_the_miner_hashed(jobs):
    job = jobs.make(None, aux_template("alpha"))
    verdict = judge(jobs, job, submit(job, nonce=0x01020304, version_bits=0x00004000))
    coinbase = job.layouts[4].coinb1 + EXTRANONCE1 + b"\x05\x06\x07\x08" + b"\0\0\0\0"
    root = fold_branch(sha256d(coinbase), job.merkle_branch)
    expected = (
        (0x20004000).to_bytes(4, "little") + b"\x11" * 32 + root
        + NOW.to_bytes(4, "little") + bytes.fromhex("ffff7f20") + bytes.fromhex("04030201")
    )  # fmt: skip
    assert verdict.header == expected and verdict.header_hash == sha256d(expected)
    assert verdict.error is None and verdict.nonce == EXTRANONCE1 + b"\x05\x06\x07\x08"


def test_validation_names_every_chain_the_hash_solves(jobs):
    job = jobs.make(parent_template(target=0), aux_template("alpha", target=ANY), aux_template("regnmc", 2, target=0))
    assert judge(jobs, job, submit(job)).solved == ("alpha",)
    job = jobs.make(parent_template(target=ANY), aux_template("alpha", 2, target=ANY))
    assert judge(jobs, job, submit(job)).solved == ("regbtc", "alpha")
    job = jobs.make(parent_template(target=0))
    assert judge(jobs, job, submit(job)).solved == ()


def test_validation_order_is_stale_time_version_duplicate_low(jobs):
    """One submission with every fault, mended one by one: each time the next reason in the order shows."""
    job = jobs.make(parent_template(target=ANY), aux_template("alpha", target=ANY))
    late = NOW + NTIME_FORWARD_S + 1
    other_tip = jobs.table.tip
    judge(jobs, job, submit(job))  # so that the last step is a duplicate
    jobs.make(parent_template(previous=b"z" * 32))

    def reason(tip, target, **fields):
        verdict = validate(job, job.layouts[4], submit(job, **fields), EXTRANONCE1, 0x1FFFE000, target, tip)
        assert verdict.solved == ("regbtc", "alpha"), "solves are seen before every refusal"
        return verdict.error

    assert reason(jobs.table.tip, 0, ntime=late, version_bits=1) is errors.STALE
    assert reason(other_tip, 0, ntime=late, version_bits=1) is TIME_OUT_OF_RANGE
    assert reason(other_tip, 0, version_bits=1) is VERSION_BITS
    assert reason(other_tip, 0) is errors.DUPLICATE
    assert reason(other_tip, 0, nonce=9) is errors.LOW_DIFFICULTY
    assert reason(other_tip, ANY, nonce=9) is None


@pytest.mark.parametrize(
    ("ntime", "good"),
    [(1_699_998_999, False), (1_699_999_000, True), (NOW + NTIME_FORWARD_S, True), (NOW + NTIME_FORWARD_S + 1, False)],
)
def test_validation_ntime_window_is_from_mintime_to_7000_s_past_the_job(jobs, ntime, good):
    job = jobs.make()
    assert (judge(jobs, job, submit(job, ntime=ntime)).error is None) is good


def test_validation_accepts_a_hash_equal_to_the_target_and_not_one_above(jobs):
    job = jobs.make()
    value = int.from_bytes(judge(jobs, job, submit(job, nonce=77)).header_hash, "little")
    job.tip.seen = SeenHashes()
    assert judge(jobs, job, submit(job, nonce=77), target=value - 1).error is errors.LOW_DIFFICULTY
    assert judge(jobs, job, submit(job, nonce=77), target=value).error is None


def test_validation_remembers_only_accepted_shares(jobs):
    job = jobs.make()
    judge(jobs, job, submit(job), target=0)
    assert not job.tip.seen, "a flood of low shares must not grow anything"
    assert judge(jobs, job, submit(job)).error is None
    assert judge(jobs, job, submit(job)).error is errors.DUPLICATE


def test_validation_knows_a_share_again_in_another_spelling(jobs):
    """Version bits 0 are the same header as no version bits."""
    job = jobs.make()
    assert judge(jobs, job, submit(job)).error is None
    assert judge(jobs, job, submit(job, version_bits=0)).error is errors.DUPLICATE


def test_validation_refuses_bits_outside_a_narrower_job_mask(jobs):
    job = jobs.make(parent_template(fixed_version_bits=0x2000))
    assert judge(jobs, job, submit(job, version_bits=0x2000)).error is VERSION_BITS
    assert judge(jobs, job, submit(job, version_bits=0x4000)).error is None


def test_validation_uses_the_chains_own_proof_of_work(jobs):
    job = jobs.make(parent_template(target=1))
    reversed_hash = lambda header: (1).to_bytes(32, "little")  # noqa: E731
    verdict = judge(jobs, job, submit(job), pow_hash=reversed_hash)
    assert verdict.solved == ("regbtc",)
    assert verdict.header_hash == hashlib.sha256(hashlib.sha256(verdict.header).digest()).digest()


def test_validation_refuses_with_the_codes_that_miners_know():
    refusals = (errors.STALE, TIME_OUT_OF_RANGE, VERSION_BITS, errors.DUPLICATE, errors.LOW_DIFFICULTY)
    assert [refusal.code for refusal in refusals] == [21, 20, 20, 22, 23]
