"""Reading what a consensus-proof node answers (docs/protocol/parallel.md): createparalleldatum, getchainview,
getparallelblockstatus, submitparalleldatum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.kind import AuxTemplate, SubmitAnswer, SubmitResult, TemplateError
from chains.parallel.manifest import Manifest, read_manifest
from chains.parallel.proof import read_datum
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import Reader
from chains.primitives.target import bits_to_target

STATES = ("block", "gap", "void", "orphan", "held", "unknown")
_RESULTS = {
    "accepted": SubmitResult.ACCEPTED,
    "duplicate": SubmitResult.DUPLICATE,
    "inconclusive": SubmitResult.INCONCLUSIVE,
    "stale": SubmitResult.STALE,
}


@dataclass(frozen=True, slots=True)
class ChainOffer:
    """What a datum has of one chain: the height of its block and what that pays, in the chain's smallest unit."""

    height: int
    amount: int


@dataclass(frozen=True, slots=True)
class DatumOffer:
    """A createparalleldatum answer: one datum, and by chain (its name, and its context in hex) what it has of it.
    `height` is that of the consensus proof."""

    aux_hash: bytes
    datum: bytes
    target: int
    height: int
    previous_hash: bytes
    chains: Mapping[str, ChainOffer]

    def template(self, chain: str, node: str, context: bytes, name: str) -> AuxTemplate:
        """The template of the pool's `chain`, which is `name` to the network's nodes. Raises KeyError for a chain that
        the datum does not have."""
        offer = self.chains[name]
        return AuxTemplate(
            chain=chain,
            aux_hash=self.aux_hash,
            target=self.target,
            height=offer.height,
            previous_hash=self.previous_hash,
            value_sat=offer.amount,
            node=node,
            context=context,
            datum=self.datum,
        )


def parse_offer(answer: Any, context: bytes) -> DatumOffer:
    """Raises TemplateError, naming the field, for anything that is no datum of this network with the manifest that it
    commits to, or tells of a chain that the manifest has not."""
    try:
        record = fields.mapping(answer, "createparalleldatum")
        wire = fields.hex_bytes(record, "datum", 108)
        datum = read_datum(Reader(wire), context)
        previous = fields.hash_bytes(record, "previousblockhash")
        aux_hash = fields.hash_bytes(record, "hash")
        if (sha256d(wire), datum.previous) != (aux_hash, previous):
            raise FieldError("datum: it is not what hash and previousblockhash say")
        reader = Reader(fields.hex_bytes(record, "manifest"))
        manifest = read_manifest(reader)
        reader.finish()
        if manifest.commitment() != datum.commitment:
            raise FieldError("manifest: it does not rebuild what the datum commits to")
        target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
        if target != bits_to_target(datum.bits):
            raise FieldError(f"target: {target:064x} is not the target of bits {datum.bits:08x}")
        height = fields.integer(record, "height", 1, fields.MAX_HEIGHT)
        return DatumOffer(aux_hash, wire, target, height, previous, _chain_offers(record, manifest))
    except ValueError as error:
        raise TemplateError(f"unusable createparalleldatum answer: {error}") from error


def _chain_offers(record: Mapping[str, Any], manifest: Manifest) -> dict[str, ChainOffer]:
    offers: dict[str, ChainOffer] = {}
    for one in _listed(record, "chains"):
        context = fields.hex_bytes(one, "context", 32)
        if manifest.get(context) != fields.hex_bytes(one, "root", 32):
            raise FieldError(f"chains: the manifest has another root of {context.hex()}")
        height = fields.integer(one, "height", 1, fields.MAX_HEIGHT)
        offer = ChainOffer(height, fields.integer(one, "amount", 0, fields.MAX_AMOUNT))
        offers[fields.text(one, "chain")] = offers[context.hex()] = offer
    return offers


def _listed(record: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    members = record.get(key)
    if not isinstance(members, list):
        raise FieldError(f"{key}: expected a list")
    return [fields.mapping(one, key) for one in members]


def parse_submit(answer: Any, proof_id: bytes) -> SubmitAnswer:
    """A submitparalleldatum answer. Raises FieldError for one that is no verdict, or one about another proof: what the
    node takes or has already is only ours when it is that very one."""
    record = fields.mapping(answer, "submitparalleldatum")
    word = fields.text(record, "result")
    result = _RESULTS.get(word, SubmitResult.REJECTED)
    if result not in (SubmitResult.REJECTED, SubmitResult.STALE) and fields.hash_bytes(record, "id") != proof_id:
        raise FieldError(f"id: {record['id']} is another proof than the one handed in")
    return SubmitAnswer(result, "" if word == "accepted" else word)


@dataclass(frozen=True, slots=True)
class ChainStanding:
    """A followed chain in a getchainview answer; `unresolved` counts the proofs below its tip whose body is missing."""

    name: str
    context: bytes
    height: int
    unresolved: int
    maturity: int


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A getchainview answer, as far as a pool asks. `genesis` is in natural order."""

    mode: str
    context: bytes
    genesis: bytes
    height: int
    initial_download: bool
    chains: tuple[ChainStanding, ...]

    def chain(self, name: str) -> ChainStanding | None:
        """A followed chain by its name or its context in hex."""
        return next((one for one in self.chains if name in (one.name, one.context.hex())), None)


def parse_view(answer: Any) -> NetworkView:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getchainview")
    return NetworkView(
        mode=fields.text(record, "mode"),
        context=fields.hex_bytes(record, "context", 32),
        genesis=fields.hash_bytes(record, "genesis"),
        height=fields.integer(record, "height", 0, fields.MAX_HEIGHT),
        initial_download=fields.boolean(record, "initialblockdownload"),
        chains=tuple(
            ChainStanding(
                fields.text(one, "chain"),
                fields.hex_bytes(one, "context", 32),
                fields.integer(one, "height", 0, fields.MAX_HEIGHT),
                fields.integer(one, "unresolved", 0, fields.MAX_HEIGHT),
                fields.integer(one, "maturity_blocks", 1, fields.MAX_HEIGHT),
            )
            for one in _listed(record, "chains")
        ),
    )


@dataclass(frozen=True, slots=True)
class BlockView:
    """A getparallelblockstatus answer. Only `block` pays; `amount` is then what it paid `script`."""

    state: str
    confirmations: int
    height: int
    amount: int
    script: bytes | None


def parse_status(answer: Any) -> BlockView:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getparallelblockstatus")
    state = fields.text(record, "state")
    if state not in STATES:
        raise FieldError(f"state: expected one of {', '.join(STATES)}")
    confirmations = fields.integer(record, "confirmations", -1, fields.MAX_HEIGHT)
    if state != "block":
        return BlockView(state, confirmations, 0, 0, None)
    return BlockView(
        state,
        confirmations,
        fields.integer(record, "height", 1, fields.MAX_HEIGHT),
        fields.integer(record, "amount", 0, fields.MAX_AMOUNT),
        fields.hex_bytes(record, "script"),
    )
