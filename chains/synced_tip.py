"""The best block of a wallet's node, or the reason why nothing may be decided by it now.

A node that is behind shows a wallet whose coins are missing and payments that are in no block, so every reason to think
so is a refusal. A regtest node is alone and its tip is old; there only what it says of its headers counts.
"""

from __future__ import annotations

from typing import Any

from chains import wallet_answers as answers
from chains.block_lookup import RPC_METHOD_NOT_FOUND
from chains.kind import Network
from chains.node_rpc import RpcError, one_line
from chains.primitives.fields import MAX_HEIGHT
from chains.primitives.hashes import displayed
from chains.wallet import Tip, WalletRefusedError
from chains.wallet_signer import Call

# After a crash a node is up to a day behind and knows no newer headers until its peers tell it, which takes seconds.
SETTLING_S = 120


async def synced_tip(call: Call, network: Network) -> Tip:
    """Raises WalletRefusedError and NodeUnavailableError."""
    info = answers.mapping(await _ask(call, "getblockchaininfo"), "getblockchaininfo")
    height = answers.integer(info, "blocks", 0, MAX_HEIGHT, "getblockchaininfo")
    headers = answers.integer(info, "headers", -1, MAX_HEIGHT, "getblockchaininfo")
    hash_hex = displayed(answers.hash_of(info, "bestblockhash", "getblockchaininfo"))
    if info.get("chain") != network.chain_name:
        found = one_line(info.get("chain"))
        raise WalletRefusedError(f"the node's chain is {found!r}, not {network.chain_name!r}")
    if headers > height:
        raise WalletRefusedError(f"the node is not synced: {headers - height} blocks behind its headers")
    if network.name != "regtest":
        if info.get("initialblockdownload") is True:
            raise WalletRefusedError("the node is not synced: initial block download")
        if await _ask(call, "getconnectioncount") == 0:
            raise WalletRefusedError("the node has no peers, so it cannot know the best block")
        if await _runs_s(call) < SETTLING_S:
            raise WalletRefusedError("the node was started just now, it may have blocks to fetch")
    wallet = answers.mapping(await _ask(call, "getwalletinfo"), "getwalletinfo")
    if wallet.get("scanning", False) is not False:
        raise WalletRefusedError("the wallet is still scanning the chain")
    return Tip(height, hash_hex)


async def _runs_s(call: Call) -> int:
    """How long the node has been running; long enough where it cannot tell (before 0.15)."""
    try:
        seconds = await call("uptime")
    except RpcError as error:
        if error.code != RPC_METHOD_NOT_FOUND:
            raise WalletRefusedError(f"uptime: {error}") from error
        return SETTLING_S
    return answers.integer({"uptime": seconds}, "uptime", 0, answers.MAX_CONFIRMATIONS, "uptime")


async def _ask(call: Call, method: str) -> Any:
    try:
        return await call(method)
    except RpcError as error:
        raise WalletRefusedError(f"{method}: {error}") from error
