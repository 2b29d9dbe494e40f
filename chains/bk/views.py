"""What a node's reading calls tell: functions of the core and a call's parameters. Hashes are displayed hex."""

from __future__ import annotations

from typing import Any

from chains.accounts.wallet import address_of
from chains.bk.content import branch_of, transfers_of
from chains.bk.core import BkCore
from chains.calls.errors import INVALID_PARAMETER, NOT_FOUND, CallError
from chains.calls.table import Waited
from chains.primitives.hashes import displayed
from chains.votes.attempt import attempt, propose
from chains.votes.block import signing_digest
from chains.votes.graph import KnownBlock
from chains.votes.reward import vote_rewards
from chains.votes.vote import MAX_SCRIPT, VoteDatum, is_key

RECENT = 10


# --- mining ---------------------------------------------------------------------------------------------------------


def vote_template(core: BkCore, leader_key: bytes, script: bytes) -> dict[str, Any]:
    """What to vote for. It changes exactly when the preferred block does."""
    chain, best = core.chain, core.chain.graph.best
    if not is_key(leader_key):
        raise CallError(INVALID_PARAMETER, "leader_key: no point of the curve has this x coordinate")
    if len(script) > MAX_SCRIPT:
        raise CallError(INVALID_PARAMETER, f"script: at most {MAX_SCRIPT} bytes")
    datum = VoteDatum(best.id, leader_key, script).serialize(chain.rules)
    return {
        "previousblockhash": displayed(best.id),
        "height": best.height,
        "context": chain.rules.context.hex(),
        "datum": datum.hex(),
        "target": f"{best.target:064x}",
        "k": chain.rules.k,
        "votes": len(best.votes),
        "amount": vote_rewards(chain.rules.k, chain.parameters.subsidy, 0)[-1],
    }


def wait_for_template(core: BkCore, leader_key: bytes, script: bytes, previous: bytes) -> Waited:
    return Waited(vote_template(core, leader_key, script), core.chain.graph.best.id != previous)


def proposal(core: BkCore, leader_key: bytes) -> dict[str, Any] | None:
    """The block that the key's owner should sign now, or null. Signed twice with other contents it is an equivocation:
    let a signer answer that remembers (previous block, leader vote)."""
    chain = core.chain
    found = attempt(chain.graph, leader_key)
    if found is None:
        return None
    previous, votes = found
    content = chain.build(previous.id)
    header = propose(previous, votes, content)
    return {
        "hash": displayed(header.id),
        "header": header.serialize().hex(),
        "height": header.height,
        "previousblockhash": displayed(previous.id),
        "leader_vote": displayed(votes[0].id),
        "votes": [displayed(vote.id) for vote in votes],
        "body": content.body.hex(),
        "digest": signing_digest(header, chain.rules.signing_tag).hex(),
    }


def wait_for_proposal(core: BkCore, leader_key: bytes) -> Waited:
    value = proposal(core, leader_key)
    return Waited(value, value is not None)


def vote_status(core: BkCore, vote_id: bytes) -> dict[str, Any]:
    """What became of a vote: `state` is included (in a block of the preferred chain), waiting (for a block that still
    can take it), late (it never will, unless the chain is reorganised; forgotten when its block is deep) or unknown.
    `height` is that of the block that has it or could have had it."""
    chain = core.chain
    vote = chain.graph.vote(vote_id)
    base = {"vote": displayed(vote_id), "state": "unknown", "block": None, "index": None, "height": None,
            "confirmations": 0, "amount": 0, "leader": False, "previousblockhash": None, "script": None}  # fmt: skip
    if vote is None:
        return base
    base["previousblockhash"] = displayed(vote.previous)
    base["script"] = vote.datum.script.hex()
    base["height"] = chain.graph.blocks[vote.previous].height + 1
    place = chain.place_of(vote_id)
    if place is None:
        base["state"] = "waiting" if vote.previous == chain.graph.best.id else "late"
        return base
    return base | {
        "state": "included",
        "block": displayed(place.block.id),
        "index": place.index,
        "height": place.block.height,
        "confirmations": chain.height - place.block.height + 1,
        "amount": place.amount,
        "leader": place.index == 0,
    }


# --- blocks ---------------------------------------------------------------------------------------------------------


def block_count(core: BkCore) -> int:
    return core.chain.height


def best_block_hash(core: BkCore) -> str:
    return displayed(core.chain.graph.best.id)


def block_hash(core: BkCore, height: int) -> str:
    try:
        return displayed(core.chain.block_at(height).id)
    except IndexError:
        raise CallError(INVALID_PARAMETER, "Block height out of range") from None


def block(core: BkCore, block_id: bytes) -> dict[str, Any]:
    """A block with its votes in their order, the leader's first: who is paid what. `confirmations` is -1 off the
    preferred chain, where the amounts are what the votes would earn without fees."""
    chain, known = core.chain, _known(core, block_id)
    preferred = chain.is_preferred(known)
    amounts = chain.amounts(known) if preferred else vote_rewards(chain.rules.k, chain.parameters.subsidy, 0)
    chain_id = chain.accounts.chain_id
    record = chain.walk.get(known.id)
    return {
        "hash": displayed(known.id),
        "height": known.height,
        "previousblockhash": None if known.previous is None else displayed(known.previous.id),
        "nextblockhash": next((displayed(c.id) for c in known.children if chain.is_preferred(c)), None),
        "confirmations": chain.height - known.height + 1 if preferred else -1,
        "time": known.time_s,
        "target": f"{known.target:064x}",
        "work": f"{known.work:x}",
        "header": known.header.serialize().hex(),
        "signature": None if known.block is None else known.block.signature.hex(),
        "fees": chain.fees(known),
        "votes": [
            {
                "vote": displayed(vote.id),
                "leader_key": vote.datum.leader_key.hex(),
                "script": vote.datum.script.hex(),
                "address": address_of(chain, vote.datum.script),
                "amount": amount,
            }
            for vote, amount in zip(known.included(), amounts, strict=False)
        ],
        "transfers": [] if record is None or record.record is None else
                     [displayed(one.id_on(chain_id)) for one in record.record.transfers],
        "ignored": {} if record is None else {displayed(one): reason for one, reason in record.ignored},
        "votes_for": len(known.votes),
    }  # fmt: skip


def vote_proof(core: BkCore, vote_id: bytes) -> dict[str, Any]:
    """A vote's datum and its MM2 proof, as docs/protocol/bk.md has them."""
    vote = core.chain.graph.vote(vote_id)
    if vote is None:
        raise CallError(NOT_FOUND, "Vote not found")
    target = core.chain.graph.blocks[vote.previous].target
    return {
        "vote": displayed(vote.id),
        "context": core.chain.rules.context.hex(),
        "datum": vote.datum_bytes.hex(),
        "proof": vote.proof.hex(),
        "target": f"{target:064x}",
    }


def block_proof(core: BkCore, block_id: bytes) -> dict[str, Any]:
    """A block with its votes and their proofs: all that shows that its k proofs of work and its signature are there."""
    known = _known(core, block_id)
    if known.block is None or known.previous is None:
        raise CallError(NOT_FOUND, "Genesis needs no proof")
    return {
        "block": displayed(known.id),
        "context": core.chain.rules.context.hex(),
        "k": core.chain.rules.k,
        "target": f"{known.previous.target:064x}",
        "header": known.header.serialize().hex(),
        "signature": known.block.signature.hex(),
        "votes": [{"datum": one.datum_bytes.hex(), "proof": one.proof.hex()} for one in known.included()],
    }


def transfer_proof(core: BkCore, transfer_id: bytes) -> dict[str, Any]:
    """The merkle branch that leads from a transfer to its block's `tx_root`."""
    height = core.chain.accounts.height_of(transfer_id)
    if height is None:
        raise CallError(NOT_FOUND, "Transfer not confirmed")
    known = core.chain.block_at(height)
    done = core.chain.walk.get(known.id)
    assert done is not None and done.record is not None and known.block is not None
    body = transfers_of(known.body)
    by_id = {one.id_on(core.chain.accounts.chain_id): one.serialize() for one in done.record.transfers}
    index = body.index(by_id[transfer_id])
    return {
        "transfer": body[index].hex(),
        "index": index,
        "count": len(body),
        "branch": [sibling.hex() for sibling in branch_of(body, index)],
        "header": known.header.serialize().hex(),
        "signature": known.block.signature.hex(),
        "block": displayed(known.id),
    }


# --- the chain ------------------------------------------------------------------------------------------------------


def chain_info(core: BkCore) -> dict[str, Any]:
    """As a pool asks before it mines here: the context must be the one it has configured."""
    chain, parameters = core.chain, core.chain.parameters
    return {
        "chain": parameters.name,
        "context": chain.rules.context.hex(),
        "genesis": displayed(core.genesis),
        "blocks": chain.height,
        "bestblockhash": displayed(chain.graph.best.id),
        "mediantime": chain.graph.best.time_s,
        "initialblockdownload": core.catching_up,
        "connections": len(core.fetching.peers),
        "k": parameters.k,
        "interval_s": parameters.interval_s,
        "subsidy": parameters.subsidy,
        "maturity_blocks": parameters.maturity_blocks,
        "issued": chain.accounts.issued,
        "mempool": len(chain.mempool),
    }


def chain_view(core: BkCore) -> dict[str, Any]:
    """The end of the chain with everything beside it: the last heights, each with all known blocks and their votes."""
    chain = core.chain
    by_height: dict[int, list[KnownBlock]] = {}
    low = max(0, chain.height - RECENT)
    level = [chain.block_at(low)]
    while level:
        by_height[level[0].height] = level
        level = [child for one in level for child in one.children]
    return {
        **chain_info(core),
        "unfinished": len(core.fetching.unfinished),
        "waiting_votes": len(core.intake.waiting_votes),
        "waiting_blocks": len(core.intake.waiting_blocks),
        "heights": [
            {
                "height": height,
                "blocks": [
                    {
                        "hash": displayed(one.id),
                        "preferred": chain.is_preferred(one),
                        "votes": len(one.votes),
                        "time": one.time_s,
                        "leader": None if one.block is None else displayed(one.block.votes[0]),
                    }
                    for one in blocks
                ],
            }
            for height, blocks in sorted(by_height.items())
        ],
    }


def _known(core: BkCore, block_id: bytes) -> KnownBlock:
    known = core.chain.graph.blocks.get(block_id)
    if known is None:
        raise CallError(NOT_FOUND, "Block not found")
    return known
