"""What auxiliary nodes offer, which jobs commit to it, and whose proof of work an auxiliary block names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chains.auxpow.commitment import AuxPowKind
from chains.kind import AuxTemplate, Commitment
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import displayed, from_displayed
from chains.primitives.header import HEADER_SIZE
from chains.primitives.serialize import Reader
from chains.primitives.target import bits_to_target
from chains.reference import auxpow_rules, mm2_rules
from pool.mining_client.client import Job


def offer_of(chain: str, answer: Mapping[str, Any], *, chain_id: int | None, context_name: str | None) -> AuxTemplate:
    """A node's answer to createauxblock (with a chain id) or createmm2block (with a context name)."""
    return AuxTemplate(
        chain=chain,
        aux_hash=from_displayed(answer["hash"]),
        target=bits_to_target(int(answer["bits"], 16)),
        height=answer["height"],
        previous_hash=from_displayed(answer["previousblockhash"]),
        value_sat=answer["coinbasevalue"],
        node=chain,
        chain_id=chain_id,
        context=None if context_name is None else context_of(context_name),
    )


@dataclass(frozen=True)
class Offers:
    """The blocks that the auxiliary nodes offer at one time, and what a coinbase that commits to all of them holds."""

    templates: Mapping[str, AuxTemplate]
    mm1: Commitment
    mm2: Commitment

    @classmethod
    def of(cls, templates: Sequence[AuxTemplate]) -> Offers:
        mm1 = AuxPowKind().commit([template for template in templates if template.chain_id is not None])
        mm2 = Mm2Kind().commit([template for template in templates if template.context is not None])
        return cls({template.chain: template for template in templates}, mm1, mm2)

    def hash_hex(self, chain: str) -> str:
        """The block on offer, as the chain shows it."""
        return displayed(self.templates[chain].aux_hash)

    def held_by(self, job: Job) -> bool:
        """Whether a share of this job may be a block of every one of these chains."""
        coinbase = job.coinb1 + job.extranonce1 + bytes(job.extranonce2_size) + job.coinb2
        return self.mm1.script_sig in coinbase and coinbase[-46:-12] == b"\x6a\x28" + (self.mm2.root or b"")


def parent_of(offer: AuxTemplate, header_hex: str) -> bytes:
    """The hash of the parent block (natural order) that an auxiliary block's proof leads to, by the reading of the
    reference nodes; `header_hex` is the node's getblockheader, which keeps the proof behind the header."""
    proof = bytes.fromhex(header_hex)[HEADER_SIZE:]
    if offer.context is None:
        return auxpow_rules.parent_hash(auxpow_rules.read_proof(Reader(proof)))
    parsed = mm2_rules.parse_proof(proof)
    sides = mm2_rules.context_bits(offer.context)[: len(parsed.branch)]
    return mm2_rules.parent_hash(parsed, sides, offer.aux_hash)
