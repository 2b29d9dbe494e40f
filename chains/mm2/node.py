"""One daemon of an MM2 child, which speaks the contract of docs/protocol/mm2.md. What an answer to a submission means
is said in chains/proof_verdict.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chains import block_lookup, proof_verdict
from chains.block_lookup import Rpc, ask
from chains.kind import (
    AuxTemplate,
    BlockStatus,
    Health,
    Network,
    NodeState,
    SubmitAnswer,
    TemplateError,
)
from chains.mm2.datum import child_block_hash
from chains.mm2.template import parse_chain_info, parse_template
from chains.mm2_proof.proof import read_proof
from chains.mm2_proof.tree import context_of
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import address_to_script
from chains.primitives.header import Header
from chains.primitives.serialize import Reader

RPC_BAD_ADDRESS = -5


class Mm2Node:
    """A daemon of the MM2 child whose context is that of `context_name`. `address` receives the block's coins; what
    paid the `former` ones is ours as well. Raises AddressError for an address that is not of the network."""

    def __init__(
        self,
        chain: str,
        node_name: str,
        rpc: Rpc,
        address: str,
        network: Network,
        context_name: str,
        former: Sequence[str] = (),
    ) -> None:
        self.chain = chain
        self.name = node_name
        self._rpc = rpc
        self._address = address
        self._network = network
        self._context = context_of(context_name)
        self._scripts = frozenset(address_to_script(text, network.addresses) for text in (address, *former))

    async def health(self) -> Health:
        """Whether it is synced and a daemon of the configured context. Raises NodeUnavailableError."""
        answer = await ask(self._rpc, "getmm2chaininfo")
        try:
            info = parse_chain_info(answer)
        except ValueError as error:
            raise NodeUnavailableError(f"unusable getmm2chaininfo answer: {error}") from error
        if info.context != self._context:
            detail = f"the node's context is {info.context.hex()}, expected {self._context.hex()}"
            return Health(NodeState.WRONG_NETWORK, info.blocks, detail)
        if info.chain != self._network.chain_name:
            detail = f"the node is on network {info.chain[:40]!r}, expected {self._network.chain_name!r}"
            return Health(NodeState.WRONG_NETWORK, info.blocks, detail)
        if info.initial_download:
            return Health(NodeState.SYNCING, info.blocks, "initial block download")
        return Health(NodeState.OK, info.blocks)

    async def template(self) -> AuxTemplate:
        """What it offers now. Raises NodeUnavailableError, and TemplateError for an answer that cannot be mined or a
        payout address that the node refuses."""
        try:
            answer = await self._rpc.call("createmm2block", self._address)
        except RpcError as error:
            if error.code == RPC_BAD_ADDRESS:
                raise TemplateError(f"the node refuses the payout address: {error.message}") from error
            raise NodeUnavailableError(f"createmm2block: {error}") from error
        return parse_template(answer, chain=self.chain, node=self.name, context=self._context)

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in `{"hash", "proof"}`. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        try:
            answer = await self._rpc.call("submitmm2block", payload["hash"], payload["proof"])
        except RpcError as error:
            return proof_verdict.of_error("submitmm2block", error)
        return proof_verdict.of_answer(answer)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where it sees a block, by displayed hash. Raises NodeUnavailableError."""
        return await block_lookup.block_status(self._rpc, hash_hex)

    async def block_reward(self, hash_hex: str) -> int:
        """What the outputs of the block's actual coinbase pay our addresses, in the smallest unit. Raises
        NodeUnavailableError."""
        coinbase = await block_lookup.read_coinbase(self._rpc, hash_hex, self._skip_proof)
        return block_lookup.paid_to(coinbase, self._scripts)

    def _skip_proof(self, reader: Reader, header: Header) -> None:
        read_proof(reader, self._context, child_block_hash(self._context, header.serialize()))

    async def close(self) -> None:
        await self._rpc.close()
