"""Calls that only read: plain functions of the node and the call's parameters. Ids and hashes are displayed hex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coincurve import PrivateKey

from chains.accounts import wallet
from chains.accounts.wallet import INVALID_PARAMETER, CallRefusedError
from chains.parallel.body import block_header, branch_of
from chains.parallel.core import ParallelCore
from chains.parallel.following import FollowedChain, Status
from chains.parallel.offers import chain_named, root_template
from chains.parallel.tree import EXCUSED_ABOVE
from chains.primitives.hashes import displayed, from_displayed

RECENT = 10


def get_consensus_template(node: ParallelCore, scripts: Mapping[str, str]) -> dict[str, Any]:
    """Root mode: what to mine on, with a body for each chain that a script (address or hex) is given for."""
    return root_template(node, scripts)


def get_parallel_block_status(node: ParallelCore, chain_name: str, id_hex: str) -> dict[str, Any]:
    """What became of a parallel block (by its id), or of a chain at a consensus proof (by that one's): `state` is
    block, gap, void, orphan, held or unknown. Only `block` pays."""
    chain = chain_named(node, chain_name)
    return _told(chain, chain.status(_id(id_hex)))


def _told(chain: FollowedChain, status: Status) -> dict[str, Any]:
    facts = status.facts
    return {
        "chain": chain.parameters.name,
        "state": status.state,
        "reason": status.reason,
        "id": displayed(status.block_id) if status.block_id is not None else None,
        "proof": displayed(status.proof_id) if status.proof_id is not None else None,
        "confirmations": status.confirmations,
        "proof_confirmations": status.proof_confirmations,
        "height": facts.height if facts is not None else None,
        "amount": facts.amount if facts is not None else 0,
        "script": facts.script.hex() if facts is not None else None,
        "address": wallet.address_of(chain, facts.script) if facts is not None else None,
    }


def get_chain_view(node: ParallelCore) -> dict[str, Any]:
    """Where this node stands: the path of proofs, and each chain that it follows."""
    tree = node.tree
    return {
        "network": node.parameters.name,
        "mode": str(node.parameters.mode),
        "context": node.parameters.context.hex(),
        "genesis": displayed(node.genesis),
        "tip": displayed(tree.best.id),
        "height": tree.best.height,
        "time": tree.best.time_s,
        "work": f"{tree.best.work:x}",
        "bits": f"{tree.next_bits(tree.best):08x}",
        "proofs": len(tree),
        "held": tree.held(),
        "initialblockdownload": tree.top.height - tree.best.height > EXCUSED_ABOVE,
        "orphans": len(node.known.orphans),
        "bodies_wanted": len(tree.wanted()),
        "peers": len(node.peers),
        "chains": [_chain_view(node, chain) for chain in node.chains.values()],
    }


def _chain_view(node: ParallelCore, chain: FollowedChain) -> dict[str, Any]:
    recent = node.tree.path[1:][-RECENT:]
    return {
        "chain": chain.parameters.name,
        "context": chain.context.hex(),
        "chain_id": chain.chain_id.hex(),
        "height": chain.state.height,
        "tip": displayed(chain.state.tip),
        "issued": chain.accounts.issued,
        "maturity_blocks": chain.accounts.maturity_blocks,
        "mempool": len(chain.mempool),
        "unresolved": chain.unresolved(),
        "recent": [{"proof": displayed(name), "state": chain.status(name).state} for name in recent],
    }


def get_block(node: ParallelCore, chain_name: str, id_hex: str) -> dict[str, Any]:
    """A parallel block with its body, as far as it is known."""
    chain = chain_named(node, chain_name)
    status = chain.status(_id(id_hex))
    entry = node.tree.get(status.proof_id) if status.proof_id is not None else None
    root = entry.carried.get(chain.context) if entry is not None else None
    if entry is None or root is None:
        raise CallRefusedError(wallet.INVALID_ADDRESS, "Block not found")
    body = node.known.bodies.get(root)
    return {
        **_told(chain, status),
        "header": block_header(entry.id, chain.context, root).hex(),
        "root": root.hex(),
        "transactions": [one.hex() for one in body] if body is not None else None,
        "transfers": [displayed(name) for name in status.facts.transfers] if status.facts is not None else [],
    }


def get_block_hash(node: ParallelCore, chain_name: str, height: int) -> str:
    """The id of a chain's block at a height, from 1."""
    blocks = chain_named(node, chain_name).state.blocks
    if type(height) is not int or not 1 <= height <= len(blocks):
        raise CallRefusedError(INVALID_PARAMETER, "Block height out of range")
    return displayed(blocks[height - 1].id)


def get_consensus_proof(node: ParallelCore, id_hex: str) -> dict[str, Any]:
    """A proof in its wire form, and its place; `confirmations` is -1 off the best path."""
    entry = node.tree.get(_id(id_hex))
    if entry is None or entry.proof is None:
        raise CallRefusedError(wallet.INVALID_ADDRESS, "Proof not found")
    on_path = node.tree.on_path(entry)
    return {
        "id": id_hex,
        "hex": entry.proof.wire.hex(),
        "height": entry.height,
        "previousblockhash": displayed(entry.proof.previous),
        "time": entry.proof.time,
        "bits": f"{entry.proof.bits:08x}",
        "work": f"{entry.work:x}",
        "commitment": entry.proof.commitment.hex(),
        "chains": {context.hex(): root.hex() for context, root in entry.proof.manifest.roots},
        "confirmations": node.tree.best.height - entry.height + 1 if on_path else -1,
        "available": entry.available,
    }


def get_transfer_proof(node: ParallelCore, chain_name: str, id_hex: str) -> dict[str, Any]:
    """What shows, to somebody who has the consensus proofs only, that a body carries a transfer: the merkle branch from
    the transaction to the chain's root, and the proof whose manifest has that root. That the body was a block and not
    a void, only a follower knows."""
    chain = chain_named(node, chain_name)
    height = chain.accounts.height_of(_id(id_hex))
    if height is None:
        raise CallRefusedError(wallet.INVALID_ADDRESS, "Transfer not confirmed")
    facts = chain.state.blocks[height - 1]
    body = node.known.bodies[facts.root]
    index = 1 + facts.transfers.index(_id(id_hex))
    entry = node.tree.get(facts.proof_id)
    assert entry is not None and entry.proof is not None
    return {
        "transaction": body[index].hex(),
        "index": index,
        "branch": [sibling.hex() for sibling in branch_of(body, index)],
        "root": facts.root.hex(),
        "context": chain.context.hex(),
        "proof": entry.proof.wire.hex(),
    }


# --- wallet ---------------------------------------------------------------------------------------------------------


def list_accounts(node: ParallelCore, chain_name: str) -> list[dict[str, Any]]:
    """The accounts whose keys this node holds: address, and the public key that `createtransfer` wants."""
    chain = chain_named(node, chain_name)
    return [
        {"address": wallet.address_of(chain, script), "public_key": PrivateKey(secret).public_key.format().hex()}
        for script, secret in node.wallet.items()
    ]


def get_balance(node: ParallelCore, chain_name: str, address: str) -> dict[str, Any]:
    """What an account has: `spendable` now, `spoken_for` by its waiting transfers, `immature` rewards, `next_nonce`."""
    return wallet.get_balance(chain_named(node, chain_name), address)


def list_transfers(
    node: ParallelCore, chain_name: str, address: str, since_height: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """An account's confirmed movements above a height, oldest first; `id` is null for a reward."""
    return wallet.list_transfers(chain_named(node, chain_name), address, since_height, limit)


def create_transfer(
    node: ParallelCore,
    chain_name: str,
    public_key_hex: str,
    address: str,
    outputs: Sequence[Mapping[str, Any]],
    fee: int | None = None,
    nonce: int | None = None,
) -> dict[str, Any]:
    """An unsigned transfer with its id; `outputs` are {"address", "amount"}. Without a fee the least that is relayed,
    without a nonce the next one; give the nonce to replace what waits under it."""
    return wallet.create_transfer(chain_named(node, chain_name), public_key_hex, address, outputs, fee, nonce)


def get_transfer(node: ParallelCore, chain_name: str, id_hex: str) -> dict[str, Any]:
    """Where a transfer is: `state` is confirmed, waiting or unknown; `confirmations` is 1 in the newest block."""
    return wallet.get_transfer(chain_named(node, chain_name), id_hex)


def _id(text: str) -> bytes:
    try:
        return from_displayed(text)
    except (ValueError, TypeError) as error:
        raise CallRefusedError(INVALID_PARAMETER, f"id: {error}") from error


READS: Mapping[str, Callable[..., Any]] = {
    "getconsensustemplate": get_consensus_template,
    "getparallelblockstatus": get_parallel_block_status,
    "getchainview": get_chain_view,
    "getblock": get_block,
    "getblockhash": get_block_hash,
    "getconsensusproof": get_consensus_proof,
    "gettransferproof": get_transfer_proof,
    "listaccounts": list_accounts,
    "getbalance": get_balance,
    "listtransfers": list_transfers,
    "createtransfer": create_transfer,
    "gettransfer": get_transfer,
}
