"""Miners of B_k whose hashes are drawn instead of mined. The rules, which see a hash and a time, do not know."""

from __future__ import annotations

import random

from coincurve import PublicKeyXOnly

from chains.bk.messages import Offer
from chains.votes.attempt import propose
from chains.votes.block import SignedBlock, sign
from chains.votes.content import BuiltContent
from chains.votes.graph import KnownBlock
from chains.votes.rules import VoteRules
from chains.votes.vote import ProvenWork, Vote, VoteDatum


def read_drawn(proof: bytes, context: bytes, aux_hash: bytes) -> ProvenWork | str:
    """The `ProofReader` of drawn votes: `hash(32) ‖ time(4)`, taken at its word."""
    return ProvenWork(proof[:32], int.from_bytes(proof[32:], "little")) if len(proof) == 36 else "malformed-proof"


class DrawingMiner:
    """Owner of a leader key: draws votes for blocks and signs what it leads."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self._secret = (number + 1).to_bytes(32, "big")
        self.key = PublicKeyXOnly.from_secret(self._secret).format()
        self.script = b"\x00\x14" + number.to_bytes(20, "big")
        self._chance = chance

    def draw(self, block: KnownBlock, rules: VoteRules, time_s: int) -> tuple[bytes, bytes]:
        """(datum, proof) of a vote that meets the target of the block it is for."""
        datum = VoteDatum(block.id, self.key, self.script).serialize(rules)
        work = self._chance.randrange(block.target + 1).to_bytes(32, "little")
        return datum, work + time_s.to_bytes(4, "little")

    def signed(self, previous: KnownBlock, votes: tuple[Vote, ...], content: BuiltContent, rules: VoteRules) -> Offer:
        """The block of these votes, the first of them this miner's."""
        header = propose(previous, votes, content)
        signature = sign(header, rules.signing_tag, self._secret)
        block = SignedBlock(header, signature, tuple(vote.id for vote in votes))
        return Offer(block, len(content.body), content.body)
