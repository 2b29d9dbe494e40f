"""The reference node of the auxpow kind: createauxblock, submitauxblock, getauxblock, in two dialects.

Namecoin's (recorded in tests/fixtures/namecoin-regtest): a template per payout script, bad address -5, segwit.
Dogecoin's (src/rpc/mining.cpp at 169ddcd): one template for all addresses, bad address -8, the proof's nIndex must be
0, no segwit. Both forget all templates at the first request after the tip moved, and only then, so a proof for the old
tip may still be taken and lose its race. The proof of work of either is a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chains.primitives.hashes import displayed
from chains.primitives.header import Header
from chains.primitives.serialize import MalformedError, Reader
from chains.primitives.target import bits_to_target, meets, target_to_difficulty
from chains.reference import auxpow_rules
from chains.reference.auxpow_rules import AUXPOW_BIT, CHAIN_ID_UNIT, AuxProof
from chains.reference.block import Block, PlainForm
from chains.reference.chain import Entry
from chains.reference.errors import IN_INITIAL_DOWNLOAD, INVALID_PARAMETER, MISC, NOT_FOUND, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import hash32, hex_bytes, script_of
from chains.reference.rules import Rules
from chains.reference.settings import Change, NodeSettings, SettingsError
from chains.reference.views import transaction_view

BASE_VERSION = 4
MAX_CHAIN_ID = 0x7FFF
TEMPLATE_AGE_S = 60  # a changed mempool makes a new template when the last one is older


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a daemon answers: error of a bad address, one template for all scripts, nIndex checked, segwit. The one
    without segwit has the wallet of its time, too."""

    bad_address: tuple[int, str]
    shares_template: bool
    index_is_checked: bool
    witness: bool
    syncing: str


DIALECTS = {
    "namecoin": Dialect(
        (NOT_FOUND, "Error: Invalid coinbase payout address"), False, False, True, "Namecoin is downloading blocks..."
    ),
    "dogecoin": Dialect(
        (INVALID_PARAMETER, "Invalid coinbase payout address"), True, True, False, "Dogecoin is downloading blocks..."
    ),
}


class AuxpowForm(PlainForm):
    """header ‖ CAuxPow ‖ transactions when the version has the auxpow bit; else a block with its own proof of work."""

    def __init__(self, chain_id: int, dialect: Dialect, rules: Rules, pow_hash: str) -> None:
        super().__init__(pow_hash)
        self._chain_id = chain_id
        self._dialect = dialect
        self._rules = rules

    def read_proof(self, reader: Reader, header: Header) -> bytes:
        if not header.version & AUXPOW_BIT:
            return b""
        start = reader.position
        auxpow_rules.read_proof(reader)
        return reader.data[start : reader.position]

    def check_work(self, header: Header, proof: bytes, target: int) -> str | None:
        if not header.version & AUXPOW_BIT:
            return super().check_work(header, proof, target)
        parsed = auxpow_rules.read_proof(Reader(proof))
        reason = auxpow_rules.check_headers(header.version, parsed, self._chain_id) or auxpow_rules.check_proof(
            parsed, header.hash, self._chain_id, index_is_checked=self._dialect.index_is_checked
        )
        if reason is None and not meets(auxpow_rules.work_hash(parsed, self.pow_hash), target):
            reason = "high-hash"
        return reason

    def describe_proof(self, header: Header, proof: bytes) -> dict[str, Any]:
        return {"auxpow": self._view(auxpow_rules.read_proof(Reader(proof)))} if proof else {}

    def _view(self, proof: AuxProof) -> dict[str, Any]:
        parent = proof.parent
        parent_hex = displayed(auxpow_rules.parent_hash(proof))
        coinbase = transaction_view(proof.coinbase, self._rules)
        view = {
            "hash": parent_hex,
            "version": parent.version,
            "versionHex": f"{parent.version:08x}",
            "merkleroot": displayed(parent.merkle_root),
            "time": parent.time,
            "nonce": parent.nonce,
            "bits": f"{parent.bits:08x}",
            "difficulty": _difficulty(parent.bits),
        }
        if parent.previous_hash != bytes(32):
            view["previousblockhash"] = displayed(parent.previous_hash)
        return {
            "tx": {"hex": proof.coinbase.serialize().hex()} | coinbase | {"blockhash": parent_hex},
            "chainindex": proof.chain_index,
            "merklebranch": [displayed(sibling) for sibling in proof.branch],
            "chainmerklebranch": [displayed(sibling) for sibling in proof.chain_branch],
            "parentblock": view,
        }


def _difficulty(bits: int) -> float:
    """A parent header is not checked, so its bits may be nonsense: 0 as recorded."""
    try:
        return target_to_difficulty(bits_to_target(bits))
    except ValueError:
        return 0


@dataclass(frozen=True, slots=True)
class _Offer:
    block: Block
    updates: int
    time_s: int


class AuxpowDevnet:
    """An MM1 child chain of devnet."""

    def __init__(self, settings: NodeSettings, clock: Callable[[], int], change: Change) -> None:
        if settings.dialect not in DIALECTS:
            raise SettingsError(f"dialect {settings.dialect!r}: expected one of {', '.join(DIALECTS)}")
        if not 1 <= settings.chain_id <= MAX_CHAIN_ID:
            raise SettingsError(f"chain id {settings.chain_id}: expected 1 to {MAX_CHAIN_ID}")
        self._dialect = DIALECTS[settings.dialect]
        self._chain_id = settings.chain_id
        version = settings.chain_id * CHAIN_ID_UNIT | BASE_VERSION
        witness = self._dialect.witness
        rules = settings.rules(version=version, witness=witness, old_wallet=not witness)
        form = AuxpowForm(settings.chain_id, self._dialect, rules, settings.pow_hash)
        self.node = ReferenceNode(rules, form, settings.data_dir, clock)
        self._tip: Entry | None = None
        self._offers: dict[bytes, _Offer] = {}  # by payout script
        self._blocks: dict[bytes, Block] = {}  # by hash

    def methods(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "createauxblock": self.createauxblock,
            "submitauxblock": self.submitauxblock,
            "getauxblock": self.getauxblock,
        }

    def createauxblock(self, address: object) -> dict[str, Any]:
        """A block that pays the address, to be merge-mined; the same one until tip or mempool change."""
        self._check_ready()
        code, message = self._dialect.bad_address
        return self._create(script_of(address, self.node.rules.addresses, code, message))

    def submitauxblock(self, hash: object, auxpow: object) -> bool:
        """Whether the block is sound with this proof; true too when it lost its race or is known already."""
        self._check_ready()
        block = self._blocks.get(self._hash(hash))
        if block is None:
            raise RpcError(INVALID_PARAMETER, "block hash unknown")
        reader = Reader(hex_bytes(auxpow))
        try:
            auxpow_rules.read_proof(reader)
        except MalformedError as error:
            raise RpcError(MISC, "DataStream::read(): end of data: iostream error") from error
        outcome = self.node.accept(replace(block, proof=reader.data[: reader.position]))
        return outcome.stored or outcome.reason == "duplicate"

    def getauxblock(self, hash: object = None, auxpow: object = None) -> object:
        """Both of the above for a wallet that picks the address."""
        if hash is None and auxpow is None:
            self._check_ready()
            return self._create(self.node.wallet.script(0))
        if hash is None or auxpow is None:
            raise RpcError(MISC, "getauxblock (hash auxpow)")
        return self.submitauxblock(hash, auxpow)

    def _check_ready(self) -> None:
        if self.node.faults.syncing:
            raise RpcError(IN_INITIAL_DOWNLOAD, self._dialect.syncing)

    def _hash(self, value: object) -> bytes:
        try:
            return hash32(value, "hash")
        except RpcError as error:
            if error.code == INVALID_PARAMETER:
                raise RpcError(INVALID_PARAMETER, "invalid block hash hex") from error
            raise

    def _create(self, script: bytes) -> dict[str, Any]:
        node = self.node
        if node.chain.tip is not self._tip:
            self._tip = node.chain.tip
            self._offers.clear()
            self._blocks.clear()
        key = b"" if self._dialect.shares_template else script
        offer = self._offers.get(key)
        now_s = node.clock()
        if offer is None or (node.mempool.updates != offer.updates and now_s - offer.time_s > TEMPLATE_AGE_S):
            plain = node.build_block(script)
            block = replace(plain, header=replace(plain.header, version=plain.header.version | AUXPOW_BIT))
            offer = _Offer(block, node.mempool.updates, now_s)
            self._offers[key] = offer
            self._blocks[block.header.hash] = block
        header = offer.block.header
        return {
            "hash": displayed(header.hash),
            "chainid": self._chain_id,
            "previousblockhash": displayed(header.previous_hash),
            "coinbasevalue": offer.block.coinbase.outputs[0].amount_sat,
            "bits": f"{header.bits:08x}",
            "height": self._tip.height + 1,
            "_target": bits_to_target(header.bits).to_bytes(32, "little").hex(),
        }
