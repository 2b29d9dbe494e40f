"""Methods that steer a reference node: real ones that regtest offers too, and `devnet_*` ones that no daemon has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chains.primitives.hashes import displayed, from_displayed
from chains.primitives.transaction import Transaction
from chains.reference.chain_rpc import entry_of
from chains.reference.errors import INVALID_PARAMETER, MISC, VERIFY_ERROR, RpcError
from chains.reference.node import Faults, ReferenceNode, TooHardError
from chains.reference.parameters import boolean, integer, mapping, script_of, text, type_error
from chains.reference.signing_rpc import read_raw
from chains.reference.wallet import OWN_BLOCK_KEY

MAX_BLOCKS_PER_CALL = 1000


def _count(value: object) -> int:
    count = integer(value)
    if not 0 <= count <= MAX_BLOCKS_PER_CALL:
        raise RpcError(INVALID_PARAMETER, f"between 0 and {MAX_BLOCKS_PER_CALL} blocks")
    return count


def generatetoaddress(
    node: ReferenceNode, nblocks: object, address: object, maxtries: object = None
) -> list[str]:
    """Mine blocks with a real proof of work; refused where the chain's bits make that expensive."""
    count = _count(nblocks)
    script = script_of(address, node.rules.addresses, message="Error: Invalid address")
    try:
        return [displayed(block_hash) for block_hash in node.generate(count, script)]
    except TooHardError as error:
        raise RpcError(MISC, str(error)) from error


def generateblock(node: ReferenceNode, output: object, transactions: object) -> dict[str, Any]:
    """Mine one block with exactly these transactions, each given whole or by the id of a waiting one."""
    script = script_of(output, node.rules.addresses, message="Error: Invalid address or descriptor")
    if not isinstance(transactions, list):
        raise type_error(transactions, "array")
    chosen: list[Transaction] = []
    for item in transactions:
        given = text(item)
        waiting = node.mempool.get(from_displayed(given)) if len(given) == 64 else None
        chosen.append(waiting.transaction if waiting is not None else read_raw(given))
    try:
        block_hash = node.generate_one(node.build_block(script, transactions=chosen))
    except TooHardError as error:
        raise RpcError(MISC, str(error)) from error
    except ValueError as error:
        raise RpcError(VERIFY_ERROR, f"TestBlockValidity failed: {error}") from error
    return {"hash": displayed(block_hash)}


def invalidateblock(node: ReferenceNode, blockhash: object) -> None:
    try:
        node.invalidate(entry_of(node, blockhash))
    except ValueError as error:
        raise RpcError(INVALID_PARAMETER, str(error)) from error


def reconsiderblock(node: ReferenceNode, blockhash: object) -> None:
    node.reconsider(entry_of(node, blockhash))


def devnet_advance(node: ReferenceNode, nblocks: object = 1, address: object = None) -> list[str]:
    """Blocks without proof of work, whatever the bits; to a key of the node's own when no address is given."""
    count = _count(nblocks)
    script = node.wallet.script(OWN_BLOCK_KEY) if address is None else script_of(address, node.rules.addresses)
    return [displayed(block_hash) for block_hash in node.advance(count, script)]


def devnet_reorganise(node: ReferenceNode, depth: object) -> list[str]:
    """Replace the last `depth` blocks by `depth` + 1 empty ones; the new hashes, lowest first."""
    try:
        return [displayed(block_hash) for block_hash in node.reorganise(integer(depth))]
    except ValueError as error:
        raise RpcError(INVALID_PARAMETER, str(error)) from error


def devnet_refuse_next(
    node: ReferenceNode, reason: object = "rejected-by-devnet", where: object = "submit", count: object = 1
) -> None:
    """Refuse the next submissions (`where` = submit) or proposals (proposal) with a reason, unseen."""
    if where not in ("submit", "proposal"):
        raise RpcError(INVALID_PARAMETER, "where must be submit or proposal")
    for _ in range(_count(count)):
        node.refuse_next(text(reason), str(where))


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise type_error(value, "number")
    return float(value)


def _name(value: object) -> str | None:
    return None if value is None else text(value)


def _marker(value: object) -> bytes:
    try:
        return bytes.fromhex(text(value))
    except ValueError as error:
        raise RpcError(INVALID_PARAMETER, "refuse_containing must be hexadecimal") from error


_FAULTS: dict[str, Callable[[object], Any]] = {
    "syncing": boolean,
    "hang_s": _seconds,
    "chain": _name,
    "garbage": boolean,
    "http_500": boolean,
    "refuse_containing": _marker,
}


def devnet_set(node: ReferenceNode, faults: object) -> dict[str, Any]:
    """Switch misbehaviour on and off: `syncing`, `hang_s` (before every answer), `chain` (the name it gives itself;
    null for the true one), `garbage` (answers that are no JSON), `http_500` (status 500 without JSON),
    `refuse_containing` (hex: blocks whose coinbase holds these bytes are refused). `devnet_*` methods and `stop` never
    misbehave.
    """
    wanted = mapping(faults)
    unknown = sorted(set(wanted) - set(_FAULTS))
    if unknown:
        raise RpcError(INVALID_PARAMETER, f"unknown fault {unknown[0]}; known: {', '.join(_FAULTS)}")
    read = {name: _FAULTS[name](value) for name, value in wanted.items()}
    for name, value in read.items():
        setattr(node.faults, name, value)
    return devnet_info(node)


def devnet_clear(node: ReferenceNode) -> dict[str, Any]:
    """End all misbehaviour."""
    node.faults = Faults()
    return devnet_info(node)


def devnet_info(node: ReferenceNode) -> dict[str, Any]:
    faults = node.faults
    return {
        "name": node.rules.name,
        "faults": {name: getattr(faults, name) for name in _FAULTS if name != "refuse_containing"}
        | {"refuse_containing": faults.refuse_containing.hex()},
        "refusals": [{"where": where, "reason": reason} for where, reason in faults.refusals],
        "last_refusal": node.last_refusal,
        "addresses": [node.wallet.address(index) for index in range(4)],
    }
