"""Templates for job tests: small, and like those of a regtest node."""

from __future__ import annotations

from types import MappingProxyType

from chains.auxpow.commitment import AuxPowKind
from chains.kind import AuxTemplate, ParentTemplate
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof.tree import context_of
from chains.primitives.target import bits_to_target
from pool.jobs.job import build_job
from pool.jobs.job_table import JobTable
from pool.jobs.template_set import TemplateSet

EASY = 2**255
SCRIPT = b"\x00\x14" + bytes(20)
KINDS = {"regnmc": AuxPowKind(), "regdoge": AuxPowKind(), "alpha": Mm2Kind(), "beta": Mm2Kind()}


def parent_template(
    height: int = 101, previous: bytes = b"\x11" * 32, target: int | None = None, **other
) -> ParentTemplate:
    fields = dict(
        chain="regbtc", height=height, previous_hash=previous, version=0x20000000, bits=0x207FFFFF,
        target=bits_to_target(0x207FFFFF) if target is None else target, current_time=1_700_000_000,
        minimum_time=1_699_999_000, value_sat=50 * 10**8, transactions=(), merkle_branch=(b"\x22" * 32, b"\x33" * 32),
        coinbase_aux=b"", witness_commitment=bytes.fromhex("6a24aa21a9ed") + bytes(32), node="regbtc[0]",
    )  # fmt: skip
    return ParentTemplate(**(fields | other))


def aux_template(chain: str, number: int = 1, target: int = EASY) -> AuxTemplate:
    ids = {"regnmc": 1, "regdoge": 98}
    return AuxTemplate(
        chain=chain, aux_hash=bytes([number]) * 32, target=target, height=number, previous_hash=bytes(32),
        value_sat=25 * 10**8, node=f"{chain}[0]", chain_id=ids.get(chain),
        context=None if chain in ids else context_of(chain),
    )  # fmt: skip


class JobFactory:
    """Makes jobs in a table of its own, as the broadcast service does."""

    def __init__(self) -> None:
        self.table = JobTable()
        self.sequence = 0

    def make(
        self, parent: ParentTemplate | None = None, *aux: AuxTemplate, now: float = 0.0, clean: bool = False, **options
    ):
        parent = parent or parent_template()
        templates = TemplateSet(parent, MappingProxyType({t.chain: t for t in aux}))
        tip = self.table.tip
        if tip is None or tip.previous_hash != parent.previous_hash:
            tip = self.table.move_tip(parent.previous_hash)
        self.sequence += 1
        settings = dict(
            kinds=KINDS, payout_script=SCRIPT, tag=b"/test/", clean=clean, uncapped=frozenset(),
            difficulty_of=lambda target: 1.0,
        )  # fmt: skip
        job = build_job(self.sequence, f"{self.sequence:x}", templates, tip, **(settings | options))
        self.table.add(job, now)
        return job
