"""Votes whose hashes are drawn instead of mined, and the owner of a leader key: the rules see no difference."""

from __future__ import annotations

import random

from coincurve import PublicKeyXOnly

from chains.bk.chain import BkChain
from chains.bk.messages import Offer
from chains.votes.attempt import attempt, propose
from chains.votes.block import SignedBlock, sign
from chains.votes.graph import KnownBlock
from chains.votes.vote import ProvenWork, Vote, VoteDatum, make_vote


def read_drawn(proof: bytes, context: bytes, aux_hash: bytes) -> ProvenWork | str:
    """`hash(32) ‖ time(4)`, taken at its word."""
    return ProvenWork(proof[:32], int.from_bytes(proof[32:], "little")) if len(proof) == 36 else "malformed-proof"


class Leader:
    """Draws votes for blocks and signs proposals with a key of its own."""

    def __init__(self, number: int, seed: int = 0) -> None:
        self.secret = (number + 1).to_bytes(32, "big")
        self.key = PublicKeyXOnly.from_secret(self.secret).format()
        self.script = b"\x00\x14" + number.to_bytes(20, "big")
        self.chance = random.Random(1000 * seed + number)

    def draw(self, block: KnownBlock, rules: object, time_s: int) -> tuple[bytes, bytes]:
        """(datum, proof) of a vote that meets the block's target."""
        datum = VoteDatum(block.id, self.key, self.script).serialize(rules)  # type: ignore[arg-type]
        work = self.chance.randrange(block.target + 1).to_bytes(32, "little")
        return datum, work + time_s.to_bytes(4, "little")

    def vote(self, chain: BkChain, block: KnownBlock, time_s: int) -> Vote:
        datum, proof = self.draw(block, chain.rules, time_s)
        return make_vote(datum, proof, chain.rules, read_drawn)

    def proposal(self, chain: BkChain) -> Offer | None:
        """What this leader may sign now, signed."""
        found = attempt(chain.graph, self.key)
        return None if found is None else self.signed(chain, *found)

    def signed(self, chain: BkChain, previous: KnownBlock, votes: tuple[Vote, ...]) -> Offer:
        content = chain.build(previous.id)
        header = propose(previous, votes, content)
        signature = sign(header, chain.rules.signing_tag, self.secret)
        block = SignedBlock(header, signature, tuple(vote.id for vote in votes))
        return Offer(block, len(content.body), content.body)
