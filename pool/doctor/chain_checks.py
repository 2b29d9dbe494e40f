"""One chain beyond its single nodes: whether its nodes agree, what each offers for mining, and its wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from chains.account_wallet import AccountWallet
from chains.bitcoin.node import RPC_CLIENT_NOT_CONNECTED
from chains.kind import AuxTemplate, ParentTemplate, TemplateError
from chains.node_rpc import JsonRpc, NodeLoginError, NodeTimeoutError, NodeUnavailableError, RpcError
from chains.primitives.address import address_to_script
from chains.wallet import WalletRefusedError
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.doctor.account_checks import account_findings
from pool.doctor.finding import Finding, good, note, unchecked, wrong
from pool.doctor.node_under_test import NodeUnderTest
from pool.payout_setup import PayingWallet, open_wallet, wallet_rpc

TEMPLATE_S = 6.0
"""A full block's template of a busy parent takes a second or two."""

WALLET_S = 8.0
BURIED = 6
"""Nodes of one chain have the same block so deep below the lower one's tip, whatever happens at the tips."""

MOST_BEHIND = 2


async def agreement(nodes: Sequence[NodeUnderTest]) -> list[Finding]:
    """Whether the usable nodes of a chain are on one and the same chain. Nothing to say of one node."""
    usable = [node for node in nodes if node.is_usable and node.health is not None]
    if len(usable) < 2:
        return []
    heights = [node.health.height for node in usable if node.health is not None]
    height = max(0, min(heights) - BURIED)
    subject, check = usable[0].chain_name, "agreement"
    try:
        async with asyncio.timeout(TEMPLATE_S):
            hashes = await asyncio.gather(*(node.rpc.call("getblockhash", height) for node in usable))
    except (TimeoutError, RpcError, NodeUnavailableError) as error:
        return [unchecked(subject, check, f"block {height} could not be asked for: {error or 'no answer'}")]
    others = [node.subject for node, found in zip(usable, hashes, strict=True) if found != hashes[0]]
    if others:
        words = f"{usable[0].subject} has another block {height} than {', '.join(others)}"
        return [wrong(subject, check, words, "One of them is on a fork or another network; an explorer tells which.")]
    behind = [node.subject for node, own in zip(usable, heights, strict=True) if own < max(heights) - MOST_BEHIND]
    if behind:
        words = f"{', '.join(behind)} more than {MOST_BEHIND} blocks behind the others"
        return [note(subject, check, words, "The pool uses the others meanwhile. Has it peers and disk?")]
    return [good(subject, check, f"{len(usable)} nodes, one block {height}")]


async def template_of(node: NodeUnderTest) -> tuple[ParentTemplate | AuxTemplate | None, Finding]:
    """What a usable node offers for mining, as the pool would read it."""
    subject, check = node.subject, "template"
    key = f"chains.{node.chain_name}"
    try:
        async with asyncio.timeout(TEMPLATE_S):
            template: ParentTemplate | AuxTemplate = await node.node.template()
    except (TimeoutError, NodeTimeoutError):
        remedy = "The node hangs or is overloaded: look at its log, disk and memory."
        return None, wrong(subject, check, f"none within {TEMPLATE_S:g} s", remedy)
    except TemplateError as error:
        return None, wrong(subject, check, str(error), _template_remedy(str(error), key, node.key))
    except NodeLoginError as error:
        return None, wrong(subject, check, str(error), "Allow this login the methods the pool calls (rpcwhitelist).")
    except NodeUnavailableError as error:
        remedy = "The node gives no work yet: is it syncing, or started without mining RPC?"
        if f"({RPC_CLIENT_NOT_CONNECTED})" in str(error):
            remedy = "Connect it to another node (addnode): this daemon gives no work without a peer, even on regtest."
        return None, wrong(subject, check, str(error), remedy)
    return template, good(subject, check, _offer_words(template))


def _offer_words(template: ParentTemplate | AuxTemplate) -> str:
    if isinstance(template, ParentTemplate):
        return f"height {template.height}, {len(template.transactions)} transactions, pays {template.value_sat}"
    place = f"chain id {template.chain_id}" if template.context is None else f"context {template.context.hex()[:16]}…"
    return f"height {template.height}, {place}, pays {template.value_sat}"


def _template_remedy(reason: str, key: str, node_key: str) -> str:
    if "chain id is" in reason:
        return f"Correct {key}.chain_id if the node is right, or {node_key}.url: this may be another chain's node."
    if "refuses the payout address" in reason:
        return f"Set {key}.address to an address of this chain and network."
    if "context" in reason:
        return f"Correct {key}.context_name or {node_key}.url: this is another chain's node."
    if "signet" in reason or "requires a rule" in reason:
        return "Update the pool: it does not know this rule, and must not mine what it does not know."
    return "Update node or pool: the pool must understand every field that it mines."


async def wallet_findings(config: Config, name: str) -> list[Finding]:
    """The wallet that pays a chain's miners: it answers, is synced, and has the key of the address that earns. Nothing
    is unlocked and nothing changes."""
    chain = config.chains[name]
    if chain.payouts is None:
        return []
    key = f"chains.{name}.payouts"
    try:
        wallet, rpc = open_wallet(config, name), wallet_rpc(config, name)
    except (StartError, OSError) as error:
        return [wrong(name, "wallet", str(error), f"Let the pool's user read the secrets that {key} names.")]
    try:
        async with asyncio.timeout(WALLET_S):
            return await _looked_at(config, name, wallet, rpc)
    except (TimeoutError, NodeTimeoutError):
        words = f"no answer within {WALLET_S:g} s"
        return [wrong(name, "wallet", words, f"Is {key}.wallet_url right? Does its node hang?")]
    except NodeLoginError as error:
        return [wrong(name, "wallet", str(error), f"Correct {key}: user and password_file, or cookie_file.")]
    except NodeUnavailableError as error:
        return [wrong(name, "wallet", str(error), f"Start the wallet's node, or correct {key}.wallet_url.")]
    except (WalletRefusedError, RpcError) as error:
        return [wrong(name, "wallet", str(error), _wallet_remedy(str(error), key))]
    finally:
        await wallet.close()
        await rpc.close()


async def _looked_at(config: Config, name: str, wallet: PayingWallet, rpc: JsonRpc) -> list[Finding]:
    if isinstance(wallet, AccountWallet):
        return await account_findings(name, wallet)
    chain = config.chains[name]
    tip = await wallet.tip()
    found = [_keys(config, name, await rpc.call("getwalletinfo"), tip.height)]
    if await wallet.is_ours(address_to_script(chain.address, wallet.network.addresses)):
        return [*found, good(name, "address", f"{chain.address} is the wallet's own")]
    words = f"{chain.address} is not of the wallet that shall pay"
    remedy = f"Set chains.{name}.address to one that the wallet gives (getnewaddress), or name the wallet that has it."
    return [*found, wrong(name, "address", words, f"{remedy} Until then rewards cannot be paid out.")]


def _keys(config: Config, name: str, info: Any, height: int) -> Finding:
    """Whether the wallet could sign: it has private keys, and we have what unlocks them. That is not tried."""
    section = config.chains[name].payouts
    assert section is not None and isinstance(info, dict), "synced_tip has read the same answer"
    if info.get("private_keys_enabled") is False:
        remedy = f"Name a wallet with private keys in chains.{name}.payouts.wallet_name."
        return wrong(name, "wallet", "it has no private keys and can pay nobody", remedy)
    if "unlocked_until" in info and section.passphrase_file is None and section.passphrase_env is None:
        remedy = f"Set chains.{name}.payouts.passphrase_file: the wallet is unlocked only while a payment is signed."
        return wrong(name, "wallet", "it is encrypted, and no passphrase is configured", remedy)
    return good(name, "wallet", f"synced at height {height}")


def _wallet_remedy(reason: str, key: str) -> str:
    if "(-18)" in reason:
        return f"Load the wallet (loadwallet; load_on_startup=true), and name it in {key}.wallet_name."
    if "(-19)" in reason:
        return f"The node has several wallets: name the one that pays in {key}.wallet_name."
    if "not synced" in reason or "started just now" in reason or "scanning" in reason:
        return "Wait until it is done; payouts wait as well."
    if "no peers" in reason:
        return "Open the wallet node's way to its network."
    if "its context is" in reason or "does not follow" in reason:
        return f"{key}.wallet_url, or the chain's first node, is a node of another network or follows other chains."
    if "rewards can be spent after" in reason:
        return f"Correct {key.removesuffix('.payouts')}.maturity (kind parallel: maturity_blocks) by the chain's own."
    if "bodies below" in reason:
        return "Somebody hides bodies of this chain; docs/adr/0019 says what that means. Payouts wait as well."
    if "chain is" in reason:
        return f"{key}.wallet_url is a node of another network."
    if "Method not found" in reason:
        return f"The node has no wallet: start it with one, or set {key}.wallet_url to a node that has."
    return "Read the wallet node's log; docs/operating/paying-out.md says what a wallet must have."
