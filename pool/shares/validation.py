"""The judgement of one submission. One visible order, tested in that order:

1. the hash is computed (the session has checked lengths, the table has found the job);
2. which chains does it solve? Before every other check: a late, low or badly timed share can still be a block;
3. stale, ntime, version bits, duplicate, low difficulty.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from struct import pack

from chains.kind import SolvedHeader
from chains.primitives.target import MAX_TARGET
from pool.jobs.job import Job, Layout
from pool.jobs.tip import Tip
from stratum import errors
from stratum.events import Submit

TIME_OUT_OF_RANGE = errors.StratumError(20, "Time out of range", "time_out_of_range")
VERSION_BITS = errors.StratumError(20, "Version bits outside the negotiated mask", "version_bits")

_NO_CHAINS: tuple[str, ...] = ()


class Verdict:
    """The outcome: `error` is None for an accepted share. `header_hash` is SHA-256d of the header (natural order) on
    every chain, the key of dedupe; `solved` names the chains whose target the proof of work, `value`, met."""

    __slots__ = ("error", "header", "header_hash", "layout", "nonce", "solved", "stale", "value")

    def __init__(
        self,
        error: errors.StratumError | None,
        header: bytes,
        header_hash: bytes,
        layout: Layout,
        nonce: bytes,
        solved: tuple[str, ...],
        stale: bool,
        value: int = MAX_TARGET,
    ) -> None:
        self.error = error
        self.header = header
        self.header_hash = header_hash
        self.layout = layout
        self.nonce = nonce
        self.solved = solved
        self.stale = stale
        self.value = value

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
    nonce = extranonce1 + submit.extranonce2
    coinbase = layout.coinbase_hash.copy()
    coinbase.update(nonce + layout.coinb2)
    root = sha256(coinbase.digest()).digest()
    for sibling in job.merkle_branch:
        root = sha256(sha256(root + sibling).digest()).digest()
    bits = submit.version_bits
    version = job.version if bits is None else job.version & ~version_mask | bits
    header = pack("<I", version) + job.previous_hash + root + pack("<III", submit.ntime, job.bits, submit.nonce)
    header_hash = sha256(sha256(header).digest()).digest()
    value = int.from_bytes(header_hash if pow_hash is None else pow_hash(header), "little")

    solved = _NO_CHAINS
    if value <= job.easiest_target:
        solved = tuple(chain for chain, chain_target in job.targets if value <= chain_target)

    error = None
    stale = job.tip is not tip
    if stale:
        error = errors.STALE
    elif not job.minimum_time <= submit.ntime <= job.maximum_time:
        error = TIME_OUT_OF_RANGE
    elif (version ^ job.version) & ~(version_mask & job.version_mask):
        error = VERSION_BITS
    elif header_hash in job.tip.seen:
        error = errors.DUPLICATE
    elif value > target:
        error = errors.LOW_DIFFICULTY
    else:
        job.tip.seen.add(header_hash)
    return Verdict(error, header, header_hash, layout, nonce, solved, stale, value)
