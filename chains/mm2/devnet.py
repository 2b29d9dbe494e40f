"""The reference node of the mm2 kind: a child chain whose blocks are proven by Merged Mining 2.

RPC contract (docs/protocol/mm2.md): getmm2chaininfo, createmm2block, submitmm2block. The datum that a parent commits to
is context (32 bytes) ‖ block header (80 bytes), so it names its chain (R11); the block's hash is SHA-256d of the datum.
A block on the wire is header ‖ proof (R10) ‖ transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chains.primitives.hashes import displayed, sha256d
from chains.primitives.header import Header
from chains.primitives.serialize import MalformedError, Reader
from chains.primitives.sha256_midstate import EMPTY
from chains.primitives.target import bits_to_target
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut
from chains.reference import mm2_rules
from chains.reference.block import Block, mine_header
from chains.reference.chain import Entry
from chains.reference.chain_rpc import SYNCING_BEHIND, chain_name
from chains.reference.errors import DESERIALIZATION, IN_INITIAL_DOWNLOAD, INVALID_PARAMETER, RpcError
from chains.reference.mm2_rules import Mm2Proof
from chains.reference.node import ReferenceNode
from chains.reference.parameters import hash32, script_of, text
from chains.reference.settings import Change, NodeSettings, SettingsError

TEMPLATE_AGE_S = 60  # as in the auxpow daemons: a changed mempool makes a new template when the last one is older


class Mm2Form:
    """Blocks of one context."""

    def __init__(self, context: bytes, pow_hash: str) -> None:
        self._context = context
        self._pow_hash = pow_hash

    def block_hash(self, header: Header) -> bytes:
        return sha256d(self._context + header.serialize())

    def template_version(self, version: int) -> int:
        return version

    def read_proof(self, reader: Reader, header: Header) -> bytes:
        if header.previous_hash == NULL_HASH:  # the genesis block has no proof
            return b""
        start = reader.position
        mm2_rules.read_proof(reader)
        return reader.data[start : reader.position]

    def check_work(self, header: Header, proof: bytes, target: int) -> str | None:
        try:
            parsed = mm2_rules.parse_proof(proof)
        except MalformedError:
            return "malformed-proof"
        return mm2_rules.check_proof(parsed, self._context, self.block_hash(header), target, self._pow_hash)

    def mine(self, header: Header, target: int) -> tuple[Header, bytes]:
        """A parent of our own that holds nothing but this chain's commitment."""
        root = mm2_rules.leaf_of(self.block_hash(header))
        script = b"\x6a\x28" + root + bytes(8)
        source = TxIn(NULL_HASH, NULL_INDEX, b"\x00\x00")
        coinbase = Transaction(1, (source,), (TxOut(0, script),))
        link = EMPTY.update(coinbase.serialize()[: -(32 + 8 + 4)])
        unmined = Header(header.version, NULL_HASH, coinbase.txid, header.time, header.bits, 0)
        parent = mine_header(unmined, target, self._pow_hash)
        wire = parent.serialize()
        proof = Mm2Proof(wire[:36] + wire[68:], (), link.state, link.length, link.extra, (), bytes(8))
        return header, mm2_rules.write_proof(proof)

    def unworked_proof(self) -> bytes:
        return mm2_rules.write_proof(Mm2Proof(bytes(48), (), bytes(32), 0, b"", (), bytes(8)))

    def describe_proof(self, header: Header, proof: bytes) -> dict[str, Any]:
        return {"mm2": {"context": self._context.hex(), "proof": proof.hex()}} if proof else {}


@dataclass(frozen=True, slots=True)
class _Offer:
    block: Block
    updates: int
    time_s: int


class Mm2Devnet:
    """An MM2 child chain of devnet."""

    def __init__(self, settings: NodeSettings, clock: Callable[[], int], change: Change) -> None:
        if not settings.context_name:
            raise SettingsError("the kind mm2 needs a context name")
        self._context_name = settings.context_name
        self._context = sha256d(settings.context_name.encode())
        self._form = Mm2Form(self._context, settings.pow_hash)
        self.node = ReferenceNode(settings.rules(), self._form, settings.data_dir, clock)
        self._tip: Entry | None = None
        self._offers: dict[bytes, _Offer] = {}  # by payout script
        self._blocks: dict[bytes, Block] = {}  # by hash

    def methods(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "getmm2chaininfo": self.getmm2chaininfo,
            "createmm2block": self.createmm2block,
            "submitmm2block": self.submitmm2block,
        }

    def getmm2chaininfo(self) -> dict[str, Any]:
        tip = self.node.chain.tip
        syncing = self.node.faults.syncing
        return {
            "chain": chain_name(self.node),
            "context_name": self._context_name,
            "context": self._context.hex(),
            "blocks": tip.height,
            "headers": tip.height + (SYNCING_BEHIND if syncing else 0),
            "bestblockhash": displayed(tip.hash),
            "initialblockdownload": syncing,
        }

    def createmm2block(self, address: object) -> dict[str, Any]:
        """A block that pays the address; the same one until tip or mempool change."""
        self._check_ready()
        node = self.node
        script = script_of(address, node.rules.addresses, message="Invalid coinbase payout address")
        if node.chain.tip is not self._tip:
            self._tip = node.chain.tip
            self._offers.clear()
            self._blocks.clear()
        offer = self._offers.get(script)
        now_s = node.clock()
        if offer is None or (node.mempool.updates != offer.updates and now_s - offer.time_s > TEMPLATE_AGE_S):
            offer = _Offer(node.build_block(script), node.mempool.updates, now_s)
            self._offers[script] = offer
            self._blocks[self._form.block_hash(offer.block.header)] = offer.block
        header = offer.block.header
        return {
            "hash": displayed(self._form.block_hash(header)),
            "context": self._context.hex(),
            "previousblockhash": displayed(header.previous_hash),
            "coinbasevalue": offer.block.coinbase.outputs[0].amount_sat,
            "bits": f"{header.bits:08x}",
            "target": f"{bits_to_target(header.bits):064x}",
            "height": self._tip.height + 1,
        }

    def submitmm2block(self, hash: object, proof: object) -> str | None:
        """null: the new tip; `duplicate`, `inconclusive` (kept, lost its race) or the reason word of a refusal."""
        self._check_ready()
        block_hash = hash32(hash, "hash")
        if self.node.chain.get(block_hash) is not None:
            return "duplicate"
        block = self._blocks.get(block_hash)
        if block is None:
            raise RpcError(INVALID_PARAMETER, "block hash unknown")
        try:
            wire = bytes.fromhex(text(proof))
            mm2_rules.parse_proof(wire)
        except ValueError as error:  # MalformedError is one
            raise RpcError(DESERIALIZATION, "Proof decode failed") from error
        return self.node.submit(replace(block, proof=wire))

    def _check_ready(self) -> None:
        if self.node.faults.syncing:
            raise RpcError(IN_INITIAL_DOWNLOAD, f"{self.node.rules.name} is downloading blocks...")
