"""A miner of a B_k node over its calls: mined votes with MM2 proofs, and proposals signed once per leader vote."""

from __future__ import annotations

from typing import Any, Protocol

from coincurve import PrivateKey, PublicKeyXOnly

from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import build_tree
from chains.primitives.hashes import displayed, sha256d
from support.mm2_parents import coinbase_of, mine


class Caller(Protocol):
    async def call(self, method: str, *parameters: Any) -> Any: ...


class BkMiner:
    """Number tells miners apart; `votes` are the displayed ids of what was taken."""

    def __init__(self, number: int) -> None:
        self.secret = (1000 + number).to_bytes(32, "big")
        self.key = PublicKeyXOnly.from_secret(self.secret).format().hex()
        self.script = (b"\x00\x14" + number.to_bytes(20, "big")).hex()
        self.votes: list[str] = []
        self._number = number
        self._made = 0
        self._signed: dict[tuple[str, str], tuple[Any, ...]] = {}  # what a signer would have promised

    async def vote(self, node: Caller) -> str | None:
        """One vote for the node's template; what the node says of it."""
        template = await node.call("getvotetemplate", self.key, self.script)
        datum, context = bytes.fromhex(template["datum"]), bytes.fromhex(template["context"])
        self._made += 1
        tree = build_tree({context: sha256d(datum)})
        tag = bytes((8, *self._number.to_bytes(4, "big"), *self._made.to_bytes(4, "big")))
        parent = mine(coinbase_of(tree.root, tag), tree, [], int(template["target"], 16))
        proof = build_proof(parent.header, parent.coinbase, parent.branch, tree.links[context], sha256d(datum))
        answer: str | None = await node.call("submitvote", template["datum"], serialize(proof).hex())
        if answer in (None, "inconclusive"):
            self.votes.append(displayed(sha256d(parent.header)))
        return answer

    async def lead(self, node: Caller) -> str | None:
        """Sign and hand in what may be proposed, the same block for the same leader vote; the answer, if there was
        something."""
        proposal = await node.call("getproposal", self.key)
        if proposal is None:
            return None
        slot = proposal["previousblockhash"], proposal["leader_vote"]
        if slot not in self._signed:
            signature = PrivateKey(self.secret).sign_schnorr(bytes.fromhex(proposal["digest"]), bytes(32)).hex()
            self._signed[slot] = (proposal["header"], signature, proposal["votes"], proposal["body"])
        answer: str | None = await node.call("submitblock", *self._signed[slot])
        return answer or "taken"
