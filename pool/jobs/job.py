"""A job: what we promised the miners under one id, and everything a share of it is judged by.

The coinbase ends with the last output's eight nonce bytes and nLockTime, so all miners of a job share `coinb1` and the
SHA-256 state after it; a share costs one or two more blocks of the coinbase (protocols.md section 1.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from chains.bitcoin.coinbase import build_coinbase
from chains.kind import AuxKind, SolvedHeader
from chains.primitives.script import push
from pool.jobs.commitments import Commitments, commit
from pool.jobs.template_set import Shape, TemplateSet, shape_of
from stratum import messages
from stratum.offer import JobOffer

if TYPE_CHECKING:
    from pool.jobs.job_table import Tip

# BIP320's general purpose bits, which miners may roll.
ROLLING_MASK = 0x1FFFE000
# A miner may move ntime this far past the job's time: ckpool's figure; the network's own limit is 7200 s past its clock.
NTIME_FORWARD_S = 7000


class Job:
    """One job. Targets are integers, `previous_hash` and branches natural order; `tip` is the parent tip it builds on."""

    __slots__ = (
        "bits",
        "coinb1",
        "coinbase_hash",
        "commitments",
        "counted_chains",
        "counted_generation",
        "counted_until",
        "easiest_target",
        "job_id",
        "maximum_time",
        "merkle_branch",
        "minimum_time",
        "offer",
        "previous_hash",
        "sequence",
        "shape",
        "targets",
        "templates",
        "tip",
        "version",
        "version_mask",
    )

    def __init__(
        self, sequence: int, job_id: str, templates: TemplateSet, commitments: Commitments, coinb1: bytes, tip: Tip
    ) -> None:
        parent = templates.parent
        self.sequence = sequence
        self.job_id = job_id
        self.templates = templates
        self.commitments = commitments
        self.coinb1 = coinb1
        self.coinbase_hash = hashlib.sha256(coinb1)
        self.tip = tip
        self.merkle_branch = parent.merkle_branch
        self.version_mask = ROLLING_MASK & ~parent.fixed_version_bits
        self.version = parent.version & ~self.version_mask  # rolled bits 0, so that OR and replace agree (BIP310)
        self.previous_hash = parent.previous_hash
        self.bits = parent.bits
        self.minimum_time = parent.minimum_time
        self.maximum_time = parent.current_time + NTIME_FORWARD_S
        self.targets = ((parent.chain, parent.target), *((t.chain, t.target) for t in templates.aux.values()))
        self.easiest_target = max(target for _, target in self.targets)
        self.shape: Shape = shape_of(templates)
        self.offer: JobOffer
        self.counted_chains: tuple[str, ...] = templates.chains()
        self.counted_generation = -1
        self.counted_until = 0.0

    def coinbase(self, nonce8: bytes) -> bytes:
        """The stripped coinbase with these eight bytes (extranonce1 and extranonce2)."""
        return self.coinb1 + nonce8 + b"\0\0\0\0"

    def solved(self, header: bytes, nonce8: bytes) -> SolvedHeader:
        return SolvedHeader(header, self.coinbase(nonce8), self.merkle_branch)


def build_job(
    sequence: int,
    job_id: str,
    templates: TemplateSet,
    tip: Tip,
    *,
    kinds: Mapping[str, AuxKind],
    payout_script: bytes,
    tag: bytes,
    clean: bool,
    uncapped: frozenset[str],
    difficulty_of: Callable[[int], float],
    fixed_version_bits: int = 0,
) -> Job:
    """Make a job of a template set.

    `uncapped` names chains whose targets do not lower anyone's difficulty; `difficulty_of` turns a target into a
    Stratum difficulty; `fixed_version_bits` are taken out of version rolling for some child's sake. Raises the kinds'
    errors (equal chain ids, equal contexts, a scriptSig over 100 bytes).
    """
    commitments = commit(templates, kinds)
    parent = templates.parent
    parts = [*(("commitment", part) for part in commitments.script_sig), ("tag", push(tag) if tag else b"")]
    coinbase = build_coinbase(parent, parts, payout_script, commitments.outputs, commitments.root)
    job = Job(sequence, job_id, templates, commitments, coinbase.coinb1, tip)
    job.version_mask &= ~fixed_version_bits
    job.version = parent.version & ~job.version_mask
    caps = tuple(sorted(difficulty_of(target) for chain, target in job.targets if chain not in uncapped))
    line, clean_line = (
        messages.notify(
            job_id, job.previous_hash, job.coinb1, coinbase.coinb2, job.merkle_branch, job.version, job.bits,
            parent.current_time, flag,
        )
        for flag in (False, True)
    )  # fmt: skip
    job.offer = JobOffer(
        sequence=sequence, job_id=job_id, notify=line, notify_clean=clean_line, clean=clean, caps=caps
    )
    return job
