"""Whether this process could sign the blocks that its votes lead (chains of kind bk), and whether what the books call
final is so on the chain. Nothing is opened for signing: a pool that runs may hold the key's promises.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.fields import FieldError, integer, mapping
from chains.signer.keys import KeyFileError
from pool.config import BkChain
from pool.doctor.finding import Finding, good, note, unchecked, wrong
from pool.doctor.node_checks import ANSWER_S, NodeUnderTest
from pool.leader_keys import LeaderFiles, public_leader_key


def leader_finding(name: str, files: LeaderFiles) -> Finding:
    """The key and what belongs to it."""
    check, key = "leader", f"chains.{name}.leader_key_file"
    if not files.key.exists():
        if files.promises.exists():
            remedy = f"Restore the key, or remove {files.promises} and {files.signed}: a new key is made then."
            return wrong(name, check, f"{files.key} is gone, its promises are there", remedy)
        return good(name, check, f"{files.key} will be made at the first start")
    try:
        public = public_leader_key(files.key)
    except KeyFileError as error:
        return wrong(name, check, str(error), f"Correct {key}, or remove the file: a new key is made then.")
    if not files.promises.exists():
        remedy = f"Remove {files.key}: with a new key nothing can be signed twice. Votes are paid all the same."
        return wrong(name, check, f"{files.promises} is missing, so no block is led", remedy)
    if not os.access(files.promises, os.R_OK | os.W_OK):
        return wrong(name, check, f"{files.promises} cannot be written", "Give it to the pool's user, mode 0600.")
    return good(name, check, f"key {public.hex()[:16]}… can sign")


async def maturity_finding(name: str, chain: BkChain, nodes: Sequence[NodeUnderTest]) -> Finding:
    """A reward of height h can be spent at h + maturity: one confirmation later than so many."""
    check = "maturity"
    node = next((node for node in nodes if node.is_usable), None)
    if node is None:
        return unchecked(name, check, "no node of it answers")
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await node.rpc.call("getblockchaininfo")
        theirs = integer(mapping(answer, "getblockchaininfo"), "maturity_blocks", 1, 2**31) + 1
    except (TimeoutError, NodeUnavailableError, RpcError, FieldError) as error:
        return unchecked(name, check, f"the node does not tell: {error}")
    ours = chain.credit_maturity
    if ours < theirs:
        words = f"the books call credits available after {ours} confirmations, the chain after {theirs}"
        return note(name, check, words, f"Set chains.{name}.maturity to {theirs}.")
    return good(name, check, f"{ours} confirmations, the chain asks for {theirs}")
