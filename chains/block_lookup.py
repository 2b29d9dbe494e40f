"""Looking a block up on a daemon with Bitcoin Core's RPC: where it stands, and the coinbase that is really in it.

Shared by the auxiliary kinds. A coinbase is read as raw bytes, so amounts are integers from the wire and never JSON
numbers; what the node says is checked against the hashes asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from chains.kind import BlockStatus
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives import fields
from chains.primitives.hashes import displayed
from chains.primitives.header import Header, read_header
from chains.primitives.serialize import Reader
from chains.primitives.transaction import Transaction, parse_transaction, read_transaction

# Bitcoin Core, src/rpc/protocol.h
RPC_MISC_ERROR = -1  # bcoin's "Block not found"
RPC_NOT_FOUND = -5  # RPC_INVALID_ADDRESS_OR_KEY: "Block not found"
RPC_INVALID_PARAMETER = -8  # "Block height out of range"
RPC_METHOD_NOT_FOUND = -32601

OFF_THE_MAIN_CHAIN = -1  # Core's confirmations of such a block


class Rpc(Protocol):
    """What is needed of chains/node_rpc.py's JsonRpc."""

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...

    async def close(self) -> None: ...


async def ask(rpc: Rpc, method: str, *params: Any) -> Any:
    """A call whose refusal is no verdict on anything, so that it counts as an outage."""
    try:
        return await rpc.call(method, *params)
    except RpcError as error:
        raise NodeUnavailableError(f"{method}: {error}") from error


async def block_status(rpc: Rpc, hash_hex: str) -> BlockStatus:
    """Where the node sees a block, by displayed hash. Some daemons (bcoin) count confirmations for blocks off their
    main chain too, so a positive count is believed only when the chain has this block at its height. Raises
    NodeUnavailableError."""
    try:
        answer = await _header(rpc, hash_hex)
    except RpcError as error:
        if error.code == RPC_NOT_FOUND:
            return BlockStatus(found=False)
        raise NodeUnavailableError(f"getblockheader: {error}") from error
    try:
        record = fields.mapping(answer, "getblockheader")
        confirmations = fields.integer(record, "confirmations", -fields.MAX_HEIGHT, fields.MAX_HEIGHT)
        height = fields.integer(record, "height", 0, fields.MAX_HEIGHT)
    except ValueError as error:
        raise NodeUnavailableError(f"unusable getblockheader answer: {error}") from error
    if confirmations > 0 and await main_chain_hash(rpc, height) != hash_hex:
        confirmations = OFF_THE_MAIN_CHAIN
    return BlockStatus(found=True, confirmations=confirmations, height=height)


async def main_chain_hash(rpc: Rpc, height: int) -> Any:
    """The displayed hash of the main chain's block at a height, None beyond its tip. Raises NodeUnavailableError."""
    try:
        return await rpc.call("getblockhash", height)
    except RpcError as error:
        if error.code in (RPC_MISC_ERROR, RPC_NOT_FOUND, RPC_INVALID_PARAMETER):
            return None
        raise NodeUnavailableError(f"getblockhash: {error}") from error


async def _header(rpc: Rpc, hash_hex: str) -> Any:
    """getblockheader, or getblock where a daemon is older than it."""
    try:
        return await rpc.call("getblockheader", hash_hex)
    except RpcError as error:
        if error.code != RPC_METHOD_NOT_FOUND:
            raise
    return await rpc.call("getblock", hash_hex)


async def read_coinbase(
    rpc: Rpc, hash_hex: str, skip_proof: Callable[[Reader, Header], object] | None = None
) -> Transaction:
    """The coinbase of a block. Raises NodeUnavailableError, also for an answer that is not that block's coinbase.

    Asked for as a transaction; where the daemon cannot (no `blockhash` parameter and no index), cut out of the raw
    block, in which `skip_proof` reads what stands between header and transactions. Without it there is no such second
    way.
    """
    answer = await ask(rpc, "getblock", hash_hex)
    try:
        txids = fields.mapping(answer, "getblock").get("tx")
        if not isinstance(txids, list) or not txids or not fields.is_hex(txids[0]):
            raise ValueError("tx: expected a list of transaction ids")
        txid_hex = txids[0]
    except ValueError as error:
        raise NodeUnavailableError(f"unusable getblock answer: {error}") from error
    try:
        raw = await rpc.call("getrawtransaction", txid_hex, 0, hash_hex)
    except RpcError as error:
        if skip_proof is None:
            raise NodeUnavailableError(f"getrawtransaction: {error}") from error
        raw = None
    try:
        if raw is not None or skip_proof is None:
            coinbase = parse_transaction(_bytes(raw))
        else:
            coinbase = _first_transaction(_bytes(await _raw_block(rpc, hash_hex)), skip_proof)
    except ValueError as error:
        raise NodeUnavailableError(f"unusable coinbase of block {hash_hex}: {error}") from error
    if not coinbase.is_coinbase or displayed(coinbase.txid) != txid_hex.lower():
        raise NodeUnavailableError(f"the node answers with another transaction than the coinbase of {hash_hex}")
    return coinbase


async def _raw_block(rpc: Rpc, hash_hex: str) -> Any:
    """The raw block: verbosity 0, which daemons older than Bitcoin Core 0.15 call `false`."""
    try:
        return await rpc.call("getblock", hash_hex, 0)
    except RpcError:
        return await ask(rpc, "getblock", hash_hex, False)


def _first_transaction(block: bytes, skip_proof: Callable[[Reader, Header], object]) -> Transaction:
    reader = Reader(block)
    skip_proof(reader, read_header(reader))
    if reader.count() == 0:
        raise ValueError("a block without transactions")
    return read_transaction(reader)


def _bytes(value: Any) -> bytes:
    if not fields.is_hex(value):
        raise ValueError("expected hex digits")
    return bytes.fromhex(value)


def paid_to(coinbase: Transaction, scripts: Collection[bytes]) -> int:
    """The sum of the outputs that pay one of the scripts, in the chain's smallest unit."""
    return sum(output.amount_sat for output in coinbase.outputs if output.script in scripts)
