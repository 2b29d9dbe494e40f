"""What a daemon's answer to a submitted proof means, said once for all auxiliary kinds.

A refusal that judges the proof is a verdict; everything else (away, syncing, a method missing) is an outage, raised as
NodeUnavailableError, so that a found block is tried again and never dropped.
"""

from __future__ import annotations

from typing import Any

from chains.block_lookup import RPC_INVALID_PARAMETER, RPC_MISC_ERROR, RPC_NOT_FOUND
from chains.kind import SubmitAnswer, SubmitResult
from chains.node_rpc import NodeUnavailableError, RpcError

# Codes with which Bitcoin Core's family judges what was sent (src/rpc/protocol.h): misc, type, address or key,
# parameter, deserialisation, the three of verification, JSON-RPC's parameters. Any other says something about the node.
FINAL_CODES = frozenset({RPC_MISC_ERROR, -3, RPC_NOT_FOUND, RPC_INVALID_PARAMETER, -22, -25, -26, -27, -32602})

# BIP22 words that are no refusal.
_WORDS = {"duplicate": SubmitResult.DUPLICATE, "inconclusive": SubmitResult.INCONCLUSIVE}


def of_answer(answer: Any) -> SubmitAnswer:
    """null is acceptance (to be confirmed by the hash), a text is BIP22's; some daemons put `rejected: ` in front.
    Raises NodeUnavailableError for anything else."""
    if answer is None:
        return SubmitAnswer(SubmitResult.ACCEPTED)
    if not isinstance(answer, str):
        raise NodeUnavailableError("an answer to a submitted proof that is no verdict")
    word = answer.removeprefix("rejected: ")
    return SubmitAnswer(_WORDS.get(word, SubmitResult.REJECTED), word)


def of_error(method: str, error: RpcError) -> SubmitAnswer:
    """An error answer's. A template that the node no longer knows is stale: "block hash unknown" with the code of an
    invalid parameter, which also stands for hex that cannot be read. Raises NodeUnavailableError when the error is none
    of the proof's."""
    if error.code not in FINAL_CODES:
        raise NodeUnavailableError(f"{method}: {error}") from error
    if error.code == RPC_INVALID_PARAMETER and "unknown" in error.message.lower():
        return SubmitAnswer(SubmitResult.STALE, error.message)
    return SubmitAnswer(SubmitResult.REJECTED, error.message)
