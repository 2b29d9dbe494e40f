"""A job: what we promised the miners under one id, and everything a share of it is judged by.

The coinbase ends with the last output's eight nonce bytes and nLockTime, so all miners of a job share `coinb1` and the
SHA-256 state after it; a share costs one or two more blocks of the coinbase. A port that promises eight bytes of
extranonce2 gets a second layout of the same job, with the extranonces in the scriptSig.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from chains.bitcoin.coinbase import build_coinbase
from chains.kind import AuxKind
from chains.primitives.script import push
from chains.primitives.share_kernel import ShareKernel, target_bytes
from chains.primitives.target import MAX_TARGET
from pool.jobs.commitments import Commitments, commit
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_set import Shape, TemplateSet, shape_of
from pool.jobs.tip import Tip
from stratum import messages
from stratum.offer import JobOffer

# BIP320's general purpose bits, which miners may roll.
ROLLING_MASK = 0x1FFFE000
# A miner may move ntime this far past the job's time: ckpool's figure; the network allows 7200 s past its clock.
NTIME_FORWARD_S = 7000
EXTRANONCE1_SIZE = 4
NEAR_FACTOR = 100
"""A near miss is a hash that would solve a chain whose target were so many times easier. Found blocks are too rare to
tell in a day whether luck or the pool is bad; a hundred times as many near misses do.
"""


def near_target(target: int) -> int:
    """The target that a near miss of a chain meets."""
    return min(target * NEAR_FACTOR, MAX_TARGET)


class Layout:
    """A job's coinbase as one size of extranonce2 sees it, and the kernel that hashes its shares."""

    __slots__ = ("coinb1", "coinb2", "kernel", "offer")

    def __init__(self, coinb1: bytes, coinb2: bytes, offer: JobOffer, kernel: ShareKernel) -> None:
        self.coinb1 = coinb1
        self.coinb2 = coinb2
        self.offer = offer
        self.kernel = kernel

    def coinbase(self, nonce: bytes) -> bytes:
        """The stripped coinbase with these bytes (extranonce1 and extranonce2)."""
        return self.coinb1 + nonce + self.coinb2


class Job:
    """One job. Targets are integers, `previous_hash` and branches natural order; `tip` is the parent tip under it."""

    __slots__ = (
        "bits",
        "commitments",
        "counted_chains",
        "counted_generation",
        "counted_until",
        "easiest_target",
        "job_id",
        "layouts",
        "maximum_time",
        "merkle_branch",
        "minimum_time",
        "near_target",
        "notable",
        "pay_rates",
        "previous_hash",
        "sequence",
        "shape",
        "targets",
        "templates",
        "tip",
        "version",
        "version_mask",
        "words",
    )

    def __init__(self, sequence: int, job_id: str, templates: TemplateSet, commitments: Commitments, tip: Tip) -> None:
        parent = templates.parent
        self.sequence = sequence
        self.job_id = job_id
        self.templates = templates
        self.commitments = commitments
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
        self.near_target = near_target(self.easiest_target)
        self.notable = target_bytes(self.near_target)  # what misses it is neither a solve nor a near miss
        self.shape: Shape = shape_of(templates)
        self.layouts: dict[int, Layout] = {}  # by the size of extranonce2
        self.counted_chains: tuple[str, ...] = templates.chains()
        self.counted_generation = -1
        self.counted_until = 0.0
        self.pay_rates: Mapping[str, PayRate] = {}  # by chain, where shares are bought
        self.words: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}  # kept by the scheme board


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
    extranonce2_sizes: Sequence[int] = (4,),
    template_age_s: int = 0,
) -> Job:
    """Make a job of a template set.

    `uncapped` names chains whose targets do not lower anyone's difficulty; `difficulty_of` turns a target into a
    Stratum difficulty; `fixed_version_bits` are taken out of version rolling for some child's sake;
    `extranonce2_sizes` are those that some port promises; `template_age_s` is added to the parent template's time, so
    that jobs of an old template do not fall behind the clock. Raises the kinds' errors (equal chain ids, equal
    contexts, a scriptSig over 100 bytes).
    """
    commitments = commit(templates, kinds)
    parent = templates.parent
    parts = [*(("commitment", part) for part in commitments.script_sig), ("tag", push(tag) if tag else b"")]
    job = Job(sequence, job_id, templates, commitments, tip)
    current_time = parent.current_time + template_age_s
    job.maximum_time = current_time + NTIME_FORWARD_S
    job.version_mask &= ~fixed_version_bits
    job.version = parent.version & ~job.version_mask
    caps = tuple(sorted(difficulty_of(target) for chain, target in job.targets if chain not in uncapped))
    for size in extranonce2_sizes:
        # Miners begin each job with the same nonces, so two jobs of equal templates (a refresh, a chain that left and
        # came back) would make them do the same work twice: the input's sequence tells all jobs apart.
        coinbase = build_coinbase(
            parent,
            parts,
            payout_script,
            commitments.outputs,
            commitments.root,
            EXTRANONCE1_SIZE + size,
            sequence & 0xFFFFFFFF,
        )
        line, clean_line = (
            messages.notify(
                job_id, job.previous_hash, coinbase.coinb1, coinbase.coinb2, job.merkle_branch, job.version, job.bits,
                current_time, flag,
            )
            for flag in (False, True)
        )  # fmt: skip
        offer = JobOffer(sequence, job_id, line, clean_line, clean, caps)
        kernel = ShareKernel(
            coinbase.coinb1, coinbase.coinb2, EXTRANONCE1_SIZE + size, b"".join(job.merkle_branch), job.previous_hash,
            job.bits,
        )  # fmt: skip
        job.layouts[size] = Layout(coinbase.coinb1, coinbase.coinb2, offer, kernel)
    return job
