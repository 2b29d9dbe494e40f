"""Reading what a consensus-proof node answers (docs/protocol/parallel.md): createparalleldatum, getchainview,
getparallelblockstatus, submitparalleldatum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.kind import AuxTemplate, SubmitAnswer, SubmitResult, TemplateError
from chains.parallel.manifest import read_manifest
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


def parse_template(answer: Any, *, chain: str, node: str, context: bytes) -> AuxTemplate:
    """The template of a createparalleldatum answer. `value_sat` is the sum over all chains, of whatever coin. Raises
    TemplateError, naming the field, for anything that is no datum of this network with the manifest it commits to."""
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
        return AuxTemplate(
            chain=chain,
            aux_hash=aux_hash,
            target=target,
            height=fields.integer(record, "height", 1, fields.MAX_HEIGHT),
            previous_hash=previous,
            value_sat=fields.integer(record, "coinbasevalue", 0, fields.MAX_AMOUNT),
            node=node,
            context=context,
            datum=wire,
        )
    except ValueError as error:
        raise TemplateError(f"unusable createparalleldatum answer: {error}") from error


def parse_submit(answer: Any) -> SubmitAnswer:
    """A submitparalleldatum answer. Raises FieldError for one that is no verdict."""
    result = fields.text(fields.mapping(answer, "submitparalleldatum"), "result")
    return SubmitAnswer(_RESULTS.get(result, SubmitResult.REJECTED), "" if result == "accepted" else result)


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A getchainview answer, as far as a pool asks; `unresolved` counts holes by chain name."""

    mode: str
    context: bytes
    height: int
    initial_download: bool
    unresolved: dict[str, int]


def parse_view(answer: Any) -> NetworkView:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getchainview")
    chains = record.get("chains")
    if not isinstance(chains, list):
        raise FieldError("chains: expected a list")
    views = [fields.mapping(one, "chains") for one in chains]
    unresolved = {fields.text(one, "chain"): fields.integer(one, "unresolved", 0, fields.MAX_HEIGHT) for one in views}
    return NetworkView(
        mode=fields.text(record, "mode"),
        context=fields.hex_bytes(record, "context", 32),
        height=fields.integer(record, "height", 0, fields.MAX_HEIGHT),
        initial_download=fields.boolean(record, "initialblockdownload"),
        unresolved=unresolved,
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
