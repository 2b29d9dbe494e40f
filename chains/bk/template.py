"""Reading what a B_k node answers (docs/protocol/bk.md): getvotetemplate, getblockchaininfo, getvotestatus,
getblock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.bk.parameters import MAGIC
from chains.kind import AuxTemplate, TemplateError
from chains.primitives import fields
from chains.primitives.fields import FieldError
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError, Reader


def parse_template(
    answer: Any, *, chain: str, node: str, context: bytes, leader_key: bytes, script: bytes
) -> AuxTemplate:
    """The template of a getvotetemplate answer. Raises TemplateError, naming the field, for anything that is not a vote
    of this chain, with our key, that pays our script."""
    try:
        record = fields.mapping(answer, "getvotetemplate")
        if (offered := fields.hex_bytes(record, "context", 32)) != context:
            raise FieldError(f"context: expected {context.hex()}, got {offered.hex()}")
        previous = fields.hash_bytes(record, "previousblockhash")
        datum = fields.hex_bytes(record, "datum")
        _check_datum(datum, context, previous, leader_key, script)
        target = int.from_bytes(fields.hex_bytes(record, "target", 32), "big")
        if not target:
            raise FieldError("target: expected more than 0")
        return AuxTemplate(
            chain=chain,
            aux_hash=sha256d(datum),
            target=target,
            height=fields.integer(record, "height", 0, fields.MAX_HEIGHT - 1) + 1,
            previous_hash=previous,
            value_sat=fields.integer(record, "amount", 0, fields.MAX_AMOUNT),
            node=node,
            context=context,
            datum=datum,
        )
    except ValueError as error:
        raise TemplateError(f"unusable getvotetemplate answer: {error}") from error


def _check_datum(datum: bytes, context: bytes, previous: bytes, leader_key: bytes, script: bytes) -> None:
    """Read here and not by chains/votes, so that a node's mistake and ours have to be made twice to go unseen."""
    reader = Reader(datum)
    try:
        found = (reader.read(4), reader.read(32), reader.read(32), reader.read(32), reader.read(reader.read(1)[0]))
        reader.finish()
    except MalformedError as error:
        raise FieldError(f"datum: {error}") from error
    wanted = (MAGIC, context, previous, leader_key, script)
    for name, one, other in zip(("magic", "context", "block", "leader key", "script"), found, wanted, strict=True):
        if one != other:
            raise FieldError(f"datum: its {name} is {one.hex()}, expected {other.hex()}")


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """A getblockchaininfo answer; `context` in natural order, `maturity` in blocks."""

    context: bytes
    blocks: int
    initial_download: bool
    k: int
    maturity: int


def parse_chain_info(answer: Any) -> ChainInfo:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getblockchaininfo")
    return ChainInfo(
        context=fields.hex_bytes(record, "context", 32),
        blocks=fields.integer(record, "blocks", 0, fields.MAX_HEIGHT),
        initial_download=fields.boolean(record, "initialblockdownload"),
        k=fields.integer(record, "k", 1, fields.MAX_HEIGHT),
        maturity=fields.integer(record, "maturity_blocks", 1, fields.MAX_HEIGHT),
    )


@dataclass(frozen=True, slots=True)
class VoteStatus:
    """A getvotestatus answer. `state` is included, waiting, late or unknown. Of an included vote the rest names its
    place in the preferred chain, what it earns there and for which script; of a late or waiting one `height` is that
    of the block that could have it."""

    state: str
    height: int = 0
    block_hex: str = ""
    index: int = 0
    confirmations: int = 0
    amount: int = 0
    script: bytes = b""


def parse_vote_status(answer: Any, vote_hex: str) -> VoteStatus:
    """Raises FieldError, naming the field, also for the status of another vote."""
    record = fields.mapping(answer, "getvotestatus")
    if (told := fields.hash_bytes(record, "vote")[::-1].hex()) != vote_hex:
        raise FieldError(f"vote: expected {vote_hex}, got {told}")
    state = fields.text(record, "state")
    if state == "unknown":
        return VoteStatus(state)
    if state in ("waiting", "late"):
        return VoteStatus(state, fields.integer(record, "height", 1, fields.MAX_HEIGHT))
    if state != "included":
        raise FieldError(f"state: expected included, waiting, late or unknown, got {state[:40]!r}")
    return VoteStatus(
        state,
        fields.integer(record, "height", 1, fields.MAX_HEIGHT),
        fields.hash_bytes(record, "block")[::-1].hex(),
        fields.integer(record, "index", 0, fields.MAX_HEIGHT),
        fields.integer(record, "confirmations", 1, fields.MAX_HEIGHT),
        fields.integer(record, "amount", 0, fields.MAX_AMOUNT),
        fields.hex_bytes(record, "script"),
    )


@dataclass(frozen=True, slots=True)
class VoteIncome:
    """What one vote of a block earns, the leader's (index 0) with remainder and fees. `vote_hex` is displayed."""

    index: int
    vote_hex: str
    script: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """A getblock answer: `confirmations` is negative off the preferred chain."""

    height: int
    confirmations: int
    previous_hex: str | None
    votes: tuple[VoteIncome, ...]


def parse_block(answer: Any) -> BlockAnswer:
    """Raises FieldError, naming the field."""
    record = fields.mapping(answer, "getblock")
    votes = record.get("votes")
    if not isinstance(votes, list):
        raise FieldError("votes: expected a list")
    previous = record.get("previousblockhash")
    return BlockAnswer(
        height=fields.integer(record, "height", 0, fields.MAX_HEIGHT),
        confirmations=fields.integer(record, "confirmations", -1, fields.MAX_HEIGHT),
        previous_hex=None if previous is None else fields.hash_bytes(record, "previousblockhash")[::-1].hex(),
        votes=tuple(_income(index, fields.mapping(vote, f"votes[{index}]")) for index, vote in enumerate(votes)),
    )


def _income(index: int, vote: Mapping[str, Any]) -> VoteIncome:
    return VoteIncome(
        index,
        fields.hash_bytes(vote, "vote")[::-1].hex(),
        fields.hex_bytes(vote, "script"),
        fields.integer(vote, "amount", 0, fields.MAX_AMOUNT),
    )
