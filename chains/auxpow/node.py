"""One MM1 daemon: its health, its templates, submissions, and what became of a block. What an answer to a submission
means is said in chains/proof_verdict.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chains import block_lookup, proof_verdict
from chains.auxpow.params import NAMECOIN, Dialect
from chains.auxpow.proof import read_auxpow
from chains.auxpow.slots import AUXPOW_VERSION_BIT
from chains.auxpow.template import parse_template
from chains.block_lookup import RPC_METHOD_NOT_FOUND, Rpc, ask
from chains.kind import (
    AuxTemplate,
    BlockStatus,
    Health,
    Network,
    NodeState,
    SubmitAnswer,
    SubmitResult,
    TemplateError,
)
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives import fields
from chains.primitives.address import address_to_script
from chains.primitives.header import Header
from chains.primitives.serialize import Reader


class AuxPowNode:
    """A daemon of an MM1 chain. `address` receives the block's coins and `network` must be the daemon's own; `dialect`
    holds its words. A `chain_id` other than None is the only one that is mined. Raises AddressError for an address that
    is not of the network."""

    def __init__(
        self,
        chain: str,
        node_name: str,
        rpc: Rpc,
        address: str,
        network: Network,
        dialect: Dialect = NAMECOIN,
        chain_id: int | None = None,
        former: Sequence[str] = (),
    ) -> None:
        self.chain = chain
        self.name = node_name
        self._rpc = rpc
        self._address = address
        self._network = network
        self._dialect = dialect
        self._chain_id = chain_id
        self._scripts = frozenset(address_to_script(text, network.addresses) for text in (address, *former))
        self._wallet_pays: bool | None = None  # None until the node has shown whether it knows create_method

    async def health(self) -> Health:
        """Whether it is synced and on the configured network. Raises NodeUnavailableError."""
        answer = await ask(self._rpc, "getblockchaininfo")
        try:
            record = fields.mapping(answer, "getblockchaininfo")
            chain_name = fields.text(record, "chain")
            blocks = fields.integer(record, "blocks", 0, fields.MAX_HEIGHT)
            syncing = _is_syncing(record, blocks)
        except ValueError as error:
            raise NodeUnavailableError(f"unusable getblockchaininfo answer: {error}") from error
        if chain_name != self._network.chain_name:
            detail = f"the node is on network {chain_name[:40]!r}, expected {self._network.chain_name!r}"
            return Health(NodeState.WRONG_NETWORK, blocks, detail)
        if syncing:
            return Health(NodeState.SYNCING, blocks, "initial block download")
        return Health(NodeState.OK, blocks)

    async def template(self) -> AuxTemplate:
        """What it offers now. Raises NodeUnavailableError, and TemplateError for an answer that cannot be mined or a
        payout address that the node refuses."""
        answer = await self._create()
        template = parse_template(answer, chain=self.chain, node=self.name, dialect=self._dialect)
        if self._chain_id is not None and template.chain_id != self._chain_id:
            raise TemplateError(f"the node's chain id is {template.chain_id}, expected {self._chain_id}")
        return template

    async def _create(self) -> Any:
        """A template's answer; from the wallet where the daemon has no createauxblock."""
        if not self._wallet_pays:
            try:
                answer = await self._rpc.call(self._dialect.create_method, self._address)
            except RpcError as error:
                if error.code == self._dialect.bad_address_code:
                    raise TemplateError(f"the node refuses the payout address: {error.message}") from error
                if error.code != RPC_METHOD_NOT_FOUND:
                    raise NodeUnavailableError(f"{self._dialect.create_method}: {error}") from error
            else:
                self._wallet_pays = False
                return answer
        answer = await ask(self._rpc, self._dialect.get_method)
        self._wallet_pays = True
        return answer

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in `{"hash", "auxpow"}`. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        try:
            answer = await self._submit(payload["hash"], payload["auxpow"])
        except RpcError as error:
            return proof_verdict.of_error(self._dialect.submit_method, error)
        if answer is True:
            return SubmitAnswer(SubmitResult.ACCEPTED)
        if answer is False:
            return SubmitAnswer(SubmitResult.REJECTED, "rejected")  # refusal without a word
        return proof_verdict.of_answer(answer)  # null, as some forks say for true, or a BIP22 word

    async def _submit(self, hash_hex: str, auxpow_hex: str) -> Any:
        try:
            return await self._rpc.call(self._dialect.submit_method, hash_hex, auxpow_hex)
        except RpcError as error:
            if error.code != RPC_METHOD_NOT_FOUND:
                raise
        return await self._rpc.call(self._dialect.get_method, hash_hex, auxpow_hex)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where it sees a block, by displayed hash. Raises NodeUnavailableError."""
        return await block_lookup.block_status(self._rpc, hash_hex)

    async def block_reward(self, hash_hex: str) -> int:
        """What the block's actual coinbase pays us, in the smallest unit: the outputs to our addresses, or all of them
        where the wallet chose the address (getauxblock). Raises NodeUnavailableError."""
        coinbase = await block_lookup.read_coinbase(self._rpc, hash_hex, _skip_auxpow)
        paid = block_lookup.paid_to(coinbase, self._scripts)
        if not paid and self._wallet_pays is None:
            await self._create()  # after a restart: learn who chooses the address
        if self._wallet_pays:
            return sum(output.amount_sat for output in coinbase.outputs)
        return paid

    async def close(self) -> None:
        await self._rpc.close()


def _is_syncing(record: Mapping[str, Any], blocks: int) -> bool:
    """Initial block download; daemons older than Bitcoin Core 0.16 do not say, then by headers far ahead of blocks."""
    if "initialblockdownload" in record:
        return fields.boolean(record, "initialblockdownload")
    return "headers" in record and fields.integer(record, "headers", -1, fields.MAX_HEIGHT) > blocks + 2


def _skip_auxpow(reader: Reader, header: Header) -> None:
    if header.version & AUXPOW_VERSION_BIT:
        read_auxpow(reader)
