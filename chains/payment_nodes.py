"""A payment to all nodes of a chain at once: the best of their answers counts, and one that is away costs nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.hashes import displayed
from chains.primitives.transaction import parse_transaction
from chains.send_answer import best, classify, is_known_refusal
from chains.wallet import SendAnswer, SendResult

log = logging.getLogger("parapool.wallet")

SEND_TIMEOUT_S = 30.0  # the node checks every signature before it answers


class Rpc(Protocol):
    """What is needed of chains/node_rpc.py's JsonRpc."""

    name: str

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any: ...


async def best_of(sending: Iterable[Awaitable[SendAnswer]]) -> SendAnswer:
    """Of those that answer. Raises NodeUnavailableError when none does, and whatever else one of them raises."""
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, NodeUnavailableError):
            raise outcome
    heard = [outcome for outcome in outcomes if isinstance(outcome, SendAnswer)]
    if heard:
        return best(heard)
    raise next(outcome for outcome in outcomes if isinstance(outcome, NodeUnavailableError))


class PaymentNodes:
    """Daemons that grew out of Bitcoin Core."""

    def __init__(self, chain: str, rpcs: Sequence[Rpc]) -> None:
        self._chain = chain
        self._rpcs = rpcs
        self._told: dict[str, str] = {}  # node name -> its last refusal of unknown words

    async def send(self, raw: bytes) -> SendAnswer:
        return await best_of(self._send(rpc, raw) for rpc in self._rpcs)

    async def _send(self, rpc: Rpc, raw: bytes) -> SendAnswer:
        try:
            txid_hex = await rpc.call("sendrawtransaction", raw.hex(), timeout_s=SEND_TIMEOUT_S)
        except RpcError as error:
            answer = classify(error.code, error.message)
            if answer is None:
                raise NodeUnavailableError(f"sendrawtransaction: {error}") from error
            self._tell_unknown(rpc, answer)
            return answer
        if txid_hex != displayed(parse_transaction(raw).txid):
            raise NodeUnavailableError("sendrawtransaction: an answer that is not the transaction's id")
        return SendAnswer(SendResult.SENT)

    def _tell_unknown(self, rpc: Rpc, answer: SendAnswer) -> None:
        """Words that send_answer.py does not know, once as long as they stay the same."""
        if answer.result is not SendResult.REJECTED or is_known_refusal(answer.reason):
            return
        if self._told.get(rpc.name) != answer.reason:
            self._told[rpc.name] = answer.reason
            log.warning(
                "unknown answer to a payment chain=%s node=%s answer=%s", self._chain, rpc.name, answer.reason
            )
