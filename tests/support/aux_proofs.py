"""Consensus proofs of aux mode made by hand: under a Bitcoin-like parent's header, at a light target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import build_tree, context_of
from chains.parallel.manifest import Manifest, manifest_of
from chains.parallel.proof import AuxDatum, aux_wire
from chains.primitives.hashes import displayed, from_displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.target import bits_to_target, meets
from chains.primitives.transaction import Transaction, TxIn, TxOut
from support.network import NodeChild

OTHER = context_of("another chain")


def solved_header(
    context: bytes, datum_hash: bytes, target: int, salt: int = 0, meet: bool = True
) -> tuple[bytes, bytes]:
    """A parent's header that proves a datum, and the MM2 proof (wire form), in a tree with another chain's datum.
    Another salt, another proof; without `meet` the work is missing."""
    tree = build_tree({context: datum_hash, OTHER: sha256d(b"x")})
    script = b"\x6a\x28" + tree.root + salt.to_bytes(8, "little")
    coinbase = Transaction(2, (TxIn(bytes(32), 0xFFFFFFFF, b"\x02\x01\x02"),), (TxOut(5, b"\x51"), TxOut(0, script)))
    raw = coinbase.serialize()
    for nonce in range(2**32):
        header = Header(1, b"\x07" * 32, sha256d(raw), 1_500_000_000, 0x1D00FFFF, nonce)
        if meets(header.hash, target) == meet:
            wire = header.serialize()
            return wire, serialize(build_proof(wire, raw, (), tree.links[context], datum_hash))
    raise AssertionError("no proof of work")


def proof_on(
    context: bytes, previous: bytes, bits: int, time_s: int, roots: Mapping[bytes, bytes] | None = None, salt: int = 0
) -> tuple[bytes, bytes]:
    """The id and the wire form of a proof on any other one, with these roots by context."""
    manifest: Manifest = manifest_of(roots or {})
    datum = AuxDatum(context, previous, manifest.commitment(), bits, time_s)
    header, wire = solved_header(context, datum.hash, bits_to_target(bits), salt)
    return sha256d(datum.wire + sha256d(header)), aux_wire(datum, wire, manifest)


class Outsider:
    """Somebody else who mines the network, with a nonce of his own for each proof."""

    def __init__(self) -> None:
        self.mined = 0

    async def mine(self, node: NodeChild, scripts: Mapping[str, str]) -> dict[str, Any]:
        """A proof of what a node offers for these scripts; the node's verdict."""
        offer = await node.call("createparalleldatum", scripts)
        self.mined += 1
        context, datum_hash = bytes.fromhex(offer["context"]), from_displayed(offer["hash"])
        _, wire = solved_header(context, datum_hash, int(offer["target"], 16), self.mined)
        answer: dict[str, Any] = await node.call("submitparalleldatum", offer["hash"], wire.hex())
        return answer

    async def extend(
        self, nodes: Sequence[NodeChild], previous_hex: str, roots: Mapping[bytes, bytes] | None = None
    ) -> tuple[str, bytes]:
        """A proof on any proof that the nodes know, with these roots and no bodies, told to each of them: its displayed
        id and its bytes."""
        view, before = await nodes[0].call("getchainview"), await nodes[0].call("getconsensusproof", previous_hex)
        self.mined += 1
        name, wire = proof_on(
            bytes.fromhex(view["context"]), from_displayed(previous_hex), int(before["bits"], 16), before["time"] + 1,
            roots, self.mined,
        )  # fmt: skip
        for node in nodes:
            await node.call("submitconsensusproof", wire.hex(), {})
        return displayed(name), wire
