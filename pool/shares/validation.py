"""The judgement of one submission. One visible order, tested in that order:

1. the hash is computed (the session has checked lengths, the table has found the job);
2. which chains does it solve? Before every other check: a late, low or badly timed share can still be a block;
3. stale, ntime, version bits, duplicate, low difficulty.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chains.kind import SolvedHeader
from chains.primitives.share_kernel import MEETS_NOTABLE, MEETS_SHARE, target_bytes
from chains.primitives.target import MAX_TARGET
from pool.jobs.job import Job, Layout
from pool.jobs.tip import Tip
from stratum import errors
from stratum.events import Submit

TIME_OUT_OF_RANGE = errors.StratumError(20, "Time out of range", "time_out_of_range")
VERSION_BITS = errors.StratumError(20, "Version bits outside the negotiated mask", "version_bits")

_NO_CHAINS: tuple[str, ...] = ()


class Verdict(msgspec.Struct, gc=False, eq=False):
    """The outcome: `error` is None for an accepted share. `header_hash` is SHA-256d of the header (natural order) on
    every chain, the key of dedupe; `solved` names the chains whose target the proof of work met. `value` is the proof
    of work as a number where it is at most the job's near target, and MAX_TARGET beyond."""

    error: errors.StratumError | None
    header_hash: bytes
    layout: Layout
    submit: Submit
    extranonce1: bytes
    version: int
    solved: tuple[str, ...]
    stale: bool
    value: int = MAX_TARGET

    @property
    def nonce(self) -> bytes:
        """The coinbase's bytes that are the miner's: extranonce1 and extranonce2."""
        return self.extranonce1 + self.submit.extranonce2

    @property
    def header(self) -> bytes:
        """The 80 bytes that were hashed."""
        submit = self.submit
        return self.layout.kernel.header(
            self.extranonce1, submit.extranonce2, self.version, submit.ntime, submit.nonce
        )

    def proven(self, job: Job) -> SolvedHeader:
        """The header with what proves its coinbase, for blocks and proofs."""
        return SolvedHeader(self.header, self.layout.coinbase(self.nonce), job.merkle_branch)


def validate(
    job: Job,
    layout: Layout,
    submit: Submit,
    extranonce1: bytes,
    version_mask: int,
    target: int,
    tip: Tip | None,
    pow_hash: Callable[[bytes], bytes] | None = None,
) -> Verdict:
    """Judge a submission against a job, whose layout is that of the connection's extranonce2 size.

    `target` is the share target assigned to the connection for this job, `tip` the current parent tip, `pow_hash` the
    proof-of-work function of a chain that does not use SHA-256d. An accepted share's hash is remembered in the job's
    tip, so that its repetition is a duplicate however it is spelled.
    """
    bits, ntime = submit.version_bits, submit.ntime
    version = job.version if bits is None else job.version & ~version_mask | bits
    header_hash, met = layout.kernel.judge(
        extranonce1, submit.extranonce2, version, ntime, submit.nonce, target_bytes(target), job.notable
    )
    solved, value = _NO_CHAINS, MAX_TARGET
    if pow_hash is not None:
        header = layout.kernel.header(extranonce1, submit.extranonce2, version, ntime, submit.nonce)
        work = int.from_bytes(pow_hash(header), "little")
        met = (work <= target) * MEETS_SHARE | (work <= job.near_target) * MEETS_NOTABLE
        if met & MEETS_NOTABLE:
            value = work
    elif met & MEETS_NOTABLE:
        value = int.from_bytes(header_hash, "little")
    if value <= job.easiest_target:
        solved = tuple(chain for chain, chain_target in job.targets if value <= chain_target)

    error = None
    stale = job.tip is not tip
    if stale:
        error = errors.STALE
    elif not job.minimum_time <= ntime <= job.maximum_time:
        error = TIME_OUT_OF_RANGE
    elif (version ^ job.version) & ~(version_mask & job.version_mask):
        error = VERSION_BITS
    elif header_hash in job.tip.seen:
        error = errors.DUPLICATE
    elif not met & MEETS_SHARE:
        error = errors.LOW_DIFFICULTY
    else:
        job.tip.seen.add(header_hash)
    return Verdict(error, header_hash, layout, submit, extranonce1, version, solved, stale, value)
