"""The RPC methods that every reference node has about its chain and network, under their real names and parameters.

A method is a function of the node and the request's parameters; its Python signature is the RPC's, so a wrong number of
parameters is refused in one place (rpc.py).
"""

from __future__ import annotations

from typing import Any

from chains.primitives.address import AddressError, address_to_script
from chains.primitives.hashes import displayed
from chains.primitives.target import bits_to_target, target_to_difficulty
from chains.primitives.transaction import Transaction
from chains.reference.chain import Entry
from chains.reference.errors import INVALID_PARAMETER, NOT_FOUND, RpcError
from chains.reference.node import ReferenceNode
from chains.reference.parameters import boolean, hash32, integer, text
from chains.reference.views import amount, block_view, confirmations, header_view, transaction_view

VERSION = 300000  # the release of Bitcoin Core whose answers these nodes give
SUBVERSION = "/Satoshi:30.0.0/"
SYNCING_BEHIND = 100  # how many headers a node that pretends to sync says it lacks


def entry_of(node: ReferenceNode, value: object, name: str = "blockhash") -> Entry:
    entry = node.chain.get(hash32(value, name))
    if entry is None:
        raise RpcError(NOT_FOUND, "Block not found")
    return entry


def chain_name(node: ReferenceNode) -> str:
    return node.faults.chain or node.rules.chain_name


def getblockchaininfo(node: ReferenceNode) -> dict[str, Any]:
    tip = node.chain.tip
    target = bits_to_target(tip.header.bits)
    syncing = node.faults.syncing
    return {
        "chain": chain_name(node),
        "blocks": tip.height,
        "headers": tip.height + (SYNCING_BEHIND if syncing else 0),
        "bestblockhash": displayed(tip.hash),
        "bits": f"{tip.header.bits:08x}",
        "target": f"{target:064x}",
        "difficulty": target_to_difficulty(target),
        "time": tip.header.time,
        "mediantime": node.chain.median_time(tip),
        "verificationprogress": 0.5 if syncing else 1,
        "initialblockdownload": syncing,
        "chainwork": f"{tip.work:064x}",
        "size_on_disk": node.chain.size,
        "pruned": False,
        "warnings": [],
    }


def getnetworkinfo(node: ReferenceNode) -> dict[str, Any]:
    return {
        "version": VERSION,
        "subversion": SUBVERSION,
        "protocolversion": 70016,
        "localservices": "0000000000000009",
        "localservicesnames": ["NETWORK", "WITNESS"] if node.rules.witness else ["NETWORK"],
        "localrelay": True,
        "timeoffset": 0,
        "networkactive": True,
        "connections": 0,
        "connections_in": 0,
        "connections_out": 0,
        "networks": [],
        "relayfee": amount(1000),
        "incrementalfee": amount(1000),
        "localaddresses": [],
        "warnings": [],
    }


def getmininginfo(node: ReferenceNode) -> dict[str, Any]:
    chain = node.chain
    bits = chain.next_bits(chain.tip)
    tip_target = bits_to_target(chain.tip.header.bits)
    next_target = bits_to_target(bits)
    return {
        "blocks": chain.tip.height,
        "bits": f"{chain.tip.header.bits:08x}",
        "difficulty": target_to_difficulty(tip_target),
        "target": f"{tip_target:064x}",
        "networkhashps": _hashes_per_s(node),
        "pooledtx": len(node.mempool),
        "blockmintxfee": amount(1),
        "chain": chain_name(node),
        "next": {
            "height": chain.tip.height + 1,
            "bits": f"{bits:08x}",
            "difficulty": target_to_difficulty(next_target),
            "target": f"{next_target:064x}",
        },
        "warnings": [],
    }


def _hashes_per_s(node: ReferenceNode, blocks: int = 120) -> float:
    tip = node.chain.tip
    base = node.chain.at(max(1, tip.height - blocks))
    if base is None or tip.header.time <= base.header.time:
        return 0
    return (tip.work - base.work) / (tip.header.time - base.header.time)


def getbestblockhash(node: ReferenceNode) -> str:
    return displayed(node.chain.tip.hash)


def getblockcount(node: ReferenceNode) -> int:
    return node.chain.tip.height


def getblockhash(node: ReferenceNode, height: object) -> str:
    entry = node.chain.at(integer(height))
    if entry is None:
        raise RpcError(INVALID_PARAMETER, "Block height out of range")
    return displayed(entry.hash)


def getblockheader(node: ReferenceNode, blockhash: object, verbose: object = True) -> object:
    entry = entry_of(node, blockhash)
    if not boolean(verbose):
        return (entry.header.serialize() + entry.proof).hex()
    return header_view(node.chain, entry)


def getblock(node: ReferenceNode, blockhash: object, verbosity: object = 1) -> object:
    entry = entry_of(node, blockhash)
    level = int(verbosity) if isinstance(verbosity, bool) else integer(verbosity)
    return entry.raw.hex() if level <= 0 else block_view(node.chain, entry, level)


def find_transaction(node: ReferenceNode, txid: bytes, entry: Entry) -> Transaction | None:
    if txid not in entry.txids:
        return None
    return node.chain.block(entry).transactions[entry.txids.index(txid)]


def getrawtransaction(
    node: ReferenceNode, txid: object, verbosity: object = False, blockhash: object = None
) -> object:
    wanted = hash32(txid, "parameter 1")
    verbose = verbosity if isinstance(verbosity, bool) else integer(verbosity) > 0
    extra: dict[str, Any] = {}
    active: dict[str, Any] = {}
    if blockhash is None:
        waiting = node.mempool.get(wanted)
        if waiting is None:
            raise RpcError(
                NOT_FOUND,
                "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction "
                "queries. Use gettransaction for wallet transactions.",
            )
        transaction = waiting.transaction
    else:
        entry = node.chain.get(hash32(blockhash, "parameter 3"))
        if entry is None:
            raise RpcError(NOT_FOUND, "Block hash not found")
        found = find_transaction(node, wanted, entry)
        if found is None:
            message = "No such transaction found in the provided block. Use gettransaction for wallet transactions."
            raise RpcError(NOT_FOUND, message)
        transaction = found
        extra = {
            "blockhash": displayed(entry.hash),
            "confirmations": max(0, confirmations(node.chain, entry)),
            "time": entry.header.time,
            "blocktime": entry.header.time,
        }
        active = {"in_active_chain": node.chain.is_active(entry)}
    if not verbose:
        return transaction.serialize().hex()
    view = transaction_view(transaction, node.rules) | {"hex": transaction.serialize().hex()} | extra
    return active | view


def getmempoolinfo(node: ReferenceNode) -> dict[str, Any]:
    sizes = [len(w.transaction.serialize()) for w in node.mempool]
    return {"loaded": True, "size": len(sizes), "bytes": sum(sizes)}


def getrawmempool(node: ReferenceNode) -> list[str]:
    return [displayed(w.transaction.txid) for w in node.mempool]


def getchaintips(node: ReferenceNode) -> list[dict[str, Any]]:
    """The tip and every other leaf of the tree."""
    chain = node.chain
    tips = []
    for entry in chain.leaves():
        status = "active" if entry is chain.tip else "invalid" if entry.failed else "valid-fork"
        length = entry.height - chain.fork_point(entry, chain.tip).height
        tips.append({"height": entry.height, "hash": displayed(entry.hash), "branchlen": length, "status": status})
    return tips


def validateaddress(node: ReferenceNode, address: object) -> dict[str, Any]:
    given = text(address)
    try:
        script = address_to_script(given, node.rules.addresses)
    except AddressError:
        error = "Invalid checksum or length of Base58 address (P2PKH or P2SH)"
        hrp = node.rules.addresses.bech32_hrp
        if hrp and given.lower().startswith(hrp + "1"):
            error = "Invalid Bech32 address"
        return {"isvalid": False, "error_locations": [], "error": error}
    witness = len(script) > 2 and script[0] not in (0x76, 0xA9)
    view: dict[str, Any] = {
        "isvalid": True,
        "address": given,
        "scriptPubKey": script.hex(),
        "isscript": script[0] == 0xA9 or (witness and len(script) == 34),
        "iswitness": witness,
    }
    if node.rules.old_wallet:  # later this went to getaddressinfo
        view["ismine"] = node.wallet.owns(script)
    if witness:
        view |= {"witness_version": max(0, script[0] - 0x50), "witness_program": script[2:].hex()}
    return view


def getconnectioncount(node: ReferenceNode) -> int:
    return 0


def getpeerinfo(node: ReferenceNode) -> list[dict[str, Any]]:
    """Nobody: a reference node is alone."""
    return []
