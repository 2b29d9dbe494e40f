"""The edge to a parent's node: templates, proposals, submissions, and what became of a block.

Answers are classified here as measured on real nodes (chains/bitcoin/README.md), so that nobody else reads a node's
words. An outage is NodeUnavailableError, an unusable template TemplateError, a refusal a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chains.bitcoin.params import LONG_POLL_TIMEOUT_S, MAX_HEADERS_AHEAD, SUBMIT_TIMEOUT_S
from chains.bitcoin.template import decode_answer, parse_template
from chains.block_lookup import (
    OFF_THE_MAIN_CHAIN,
    RPC_INVALID_PARAMETER,
    RPC_METHOD_NOT_FOUND,
    RPC_MISC_ERROR,
    RPC_NOT_FOUND,
    ask,
    main_chain_hash,
    paid_to,
    read_coinbase,
)
from chains.kind import (
    BlockStatus,
    Health,
    Network,
    NodeState,
    ParentTemplate,
    SubmitAnswer,
    SubmitResult,
    TemplateError,
)
from chains.node_rpc import JsonRpc, NodeTimeoutError, NodeUnavailableError, RpcError, one_line
from chains.primitives.header import Header
from chains.primitives.serialize import Reader

# Bitcoin Core, src/rpc/protocol.h
RPC_OUT_OF_MEMORY = -7
RPC_CLIENT_NOT_CONNECTED = -9
RPC_CLIENT_IN_INITIAL_DOWNLOAD = -10
RPC_DATABASE_ERROR = -20
RPC_DESERIALIZATION_ERROR = -22
RPC_INTERNAL_ERROR = -32603

_NOT_READY = (RPC_CLIENT_NOT_CONNECTED, RPC_CLIENT_IN_INITIAL_DOWNLOAD)
# Errors that say something about the node and nothing about the block: the same bytes are sent again.
_NOT_ABOUT_THE_BLOCK = (*_NOT_READY, RPC_OUT_OF_MEMORY, RPC_DATABASE_ERROR, RPC_METHOD_NOT_FOUND, RPC_INTERNAL_ERROR)

_NOT_FOUND = (RPC_MISC_ERROR, RPC_NOT_FOUND, RPC_INVALID_PARAMETER)

# BIP22 answers to submitblock that are no refusal. "inconclusive…" is stored and not best: it may still win.
_RESULTS = {
    "duplicate": SubmitResult.DUPLICATE,
    "inconclusive": SubmitResult.INCONCLUSIVE,
    "duplicate-inconclusive": SubmitResult.INCONCLUSIVE,
    "inconclusive-not-best-prevblk": SubmitResult.INCONCLUSIVE,
}


class BitcoinNode:
    """One node of a parent chain (kind.ParentNode). `script` is the payout script whose income block_reward counts,
    with that of the `former` ones."""

    def __init__(
        self, chain: str, node_name: str, rpc: JsonRpc, script: bytes, network: Network, former: Sequence[bytes] = ()
    ) -> None:
        self.chain = chain
        self.name = node_name
        self.rpc = rpc
        self._scripts = frozenset((script, *former))
        self.network = network
        self._not_ready = ""

    async def health(self) -> Health:
        """Whether the node may be mined with. A regtest node always thinks that it is syncing when its tip is old, so
        there only its refusal of a template counts (errors −9, −10), which this asks about again."""
        info = await ask(self.rpc, "getblockchaininfo")
        if not isinstance(info, dict) or type(info.get("blocks")) is not int:
            raise NodeUnavailableError("getblockchaininfo: an answer without a height")
        height, headers = info["blocks"], info.get("headers")
        if info.get("chain") != self.network.chain_name:
            found = one_line(info.get("chain"))
            return Health(NodeState.WRONG_NETWORK, height, f"chain is {found!r}, not {self.network.chain_name!r}")
        if info.get("initialblockdownload") is True and self.network.name != "regtest":
            return Health(NodeState.SYNCING, height, "initial block download")
        if type(headers) is int and headers > height + MAX_HEADERS_AHEAD:
            return Health(NodeState.SYNCING, height, f"{headers - height} blocks behind its headers")
        if self._not_ready:
            try:
                await self._template_answer(None)
            except NodeUnavailableError:
                if self._not_ready:
                    return Health(NodeState.SYNCING, height, self._not_ready)
                raise
            except TemplateError as error:
                return Health(NodeState.OK, height, str(error))
        return Health(NodeState.OK, height)

    async def template(self, longpoll_id: str | None = None) -> ParentTemplate:
        """The newest template. With a longpoll id the answer comes when the tip or, after a minute or so, the mempool
        has changed; do not give such a call up, because the node keeps a thread for it until then.
        Raises NodeUnavailableError, also while the node has no peer or is syncing, and TemplateError."""
        try:
            answer = await self._template_answer(longpoll_id)
        except NodeTimeoutError:
            if longpoll_id is None:
                raise
            answer = await self._template_answer(None)
        return parse_template(answer, chain=self.chain, node=self.name, template_rules=self.network.template_rules)

    async def propose(self, payload: Mapping[str, str]) -> str | None:
        """None when the node would accept the block but for its proof of work, else its BIP22 reason (BIP23).
        `inconclusive-not-best-prevblk` only says that the tip has moved, `duplicate` that the node has this very block:
        neither is a fault of ours, and the caller tries its next template. Raises RpcError when the node has no
        proposals."""
        request = {"mode": "proposal", "data": payload["block"], "rules": list(self.network.template_rules)}
        try:
            answer = await self.rpc.call("getblocktemplate", request, timeout_s=SUBMIT_TIMEOUT_S)
        except RpcError as error:
            if error.code in _NOT_READY:
                raise NodeUnavailableError(f"getblocktemplate: {error}") from error
            if error.code == RPC_DESERIALIZATION_ERROR:
                return str(error)
            raise
        return None if answer is None else _reason("getblocktemplate", answer)

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Deliver a block. ACCEPTED is to be confirmed by block_status: bcoin answers null to a lost race too."""
        try:
            answer = await self.rpc.call("submitblock", payload["block"], timeout_s=SUBMIT_TIMEOUT_S)
        except RpcError as error:
            if error.code in _NOT_ABOUT_THE_BLOCK:
                raise NodeUnavailableError(f"submitblock: {error}") from error
            return SubmitAnswer(SubmitResult.REJECTED, str(error))
        if answer is None:
            return SubmitAnswer(SubmitResult.ACCEPTED)
        reason = _reason("submitblock", answer)
        return SubmitAnswer(_RESULTS.get(reason, SubmitResult.REJECTED), reason)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where the node sees a block of this hash (displayed hex). bcoin counts confirmations for blocks off its main
        chain too, so a positive count is believed only when the chain has this block at its height."""
        try:
            header = await self.rpc.call("getblockheader", hash_hex)
        except RpcError as error:
            if error.code in _NOT_FOUND and "not found" in error.message.lower():
                return BlockStatus(found=False)
            raise NodeUnavailableError(f"getblockheader: {error}") from error
        match header:
            case {"confirmations": int(confirmations), "height": int(height)}:
                if confirmations > 0 and await main_chain_hash(self.rpc, height) != hash_hex:
                    confirmations = OFF_THE_MAIN_CHAIN
                return BlockStatus(True, confirmations, height)
        raise NodeUnavailableError("getblockheader: an answer without confirmations and height")

    async def block_reward(self, hash_hex: str) -> int:
        """What the coinbase of a block (displayed hex) pays to our scripts, in the smallest unit."""
        return paid_to(await read_coinbase(self.rpc, hash_hex, skip_proof=_nothing), self._scripts)

    async def close(self) -> None:
        await self.rpc.close()

    async def _template_answer(self, longpoll_id: str | None) -> Any:
        request: dict[str, Any] = {
            "rules": list(self.network.template_rules),
            "capabilities": ["coinbasevalue", "longpoll", "proposal", "workid"],
        }
        if longpoll_id is not None:
            request["longpollid"] = longpoll_id
        try:
            answer = await self.rpc.call(
                "getblocktemplate",
                request,
                timeout_s=None if longpoll_id is None else LONG_POLL_TIMEOUT_S,
                decode=decode_answer,
            )
        except RpcError as error:
            if error.code in _NOT_READY:
                self._not_ready = error.message
                raise NodeUnavailableError(f"getblocktemplate: {error}") from error
            self._not_ready = ""
            raise TemplateError(f"the node gives no template: {error}") from error
        self._not_ready = ""
        return answer


def _nothing(reader: Reader, header: Header) -> None:
    """A parent's block has no proof between header and transactions."""


def _reason(method: str, answer: Any) -> str:
    """A BIP22 reason; bcoin puts `rejected: ` in front."""
    if not isinstance(answer, str):
        raise NodeUnavailableError(f"{method}: an answer that is no reason")
    return one_line(answer.removeprefix("rejected: ")) or "rejected"
