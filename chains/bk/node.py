"""One node of a B_k chain, as the pool speaks to it (docs/protocol/bk.md): what to vote for, votes and led blocks
handed in, where each vote is, and what each block pays for votes of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chains import block_lookup, proof_verdict
from chains.bk.proposal import Proposal, read_proposal
from chains.bk.template import (
    BlockAnswer,
    VoteStatus,
    parse_block,
    parse_chain_info,
    parse_template,
    parse_vote_status,
)
from chains.block_lookup import OFF_THE_MAIN_CHAIN, Rpc, ask
from chains.kind import (
    AuxTemplate,
    BlockIncome,
    BlockStatus,
    Health,
    Inclusion,
    Network,
    NodeState,
    PaidVote,
    SubmitAnswer,
    TemplateError,
    maturity_words,
)
from chains.mm2_proof.tree import context_of
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import address_to_script
from chains.primitives.fields import FieldError
from chains.primitives.hashes import displayed

ANSWER_S = 10.0
"""What a node may take longer for an answer than it was told to wait."""


class BkNode:
    """A node of the B_k chain whose context is that of `context_name`. Votes name `leader_key` (BIP340, x-only) and pay
    `address`; what pays one of the `former` ones is ours as well. Raises AddressError for an address that is not of the
    network."""

    def __init__(
        self,
        chain: str,
        node_name: str,
        rpc: Rpc,
        address: str,
        network: Network,
        context_name: str,
        leader_key: bytes,
        former: Sequence[str] = (),
    ) -> None:
        self.chain = chain
        self.name = node_name
        self._rpc = rpc
        self._context = context_of(context_name)
        self._leader_key = leader_key
        self._maturity = network.maturity
        self._script = address_to_script(address, network.addresses)
        self._scripts = {self._script, *(address_to_script(text, network.addresses) for text in former)}

    async def health(self) -> Health:
        """Whether it is synced and a node of the configured context, whose rewards can be spent no later than the pool
        calls them available. Raises NodeUnavailableError."""
        answer = await ask(self._rpc, "getblockchaininfo")
        try:
            info = parse_chain_info(answer)
        except ValueError as error:
            raise NodeUnavailableError(f"unusable getblockchaininfo answer: {error}") from error
        if info.context != self._context:
            detail = f"the node's context is {info.context.hex()}, expected {self._context.hex()}"
            return Health(NodeState.WRONG_NETWORK, info.blocks, detail)
        if info.maturity > self._maturity:
            return Health(NodeState.WRONG_NETWORK, info.blocks, maturity_words(info.maturity, self._maturity))
        if info.initial_download:
            return Health(NodeState.SYNCING, info.blocks, "initial block download")
        return Health(NodeState.OK, info.blocks)

    async def template(self) -> AuxTemplate:
        """What to vote for now. Raises NodeUnavailableError, and TemplateError for an answer that cannot be mined."""
        try:
            answer = await self._rpc.call("getvotetemplate", self._leader_key.hex(), self._script.hex())
        except RpcError as error:
            if error.code == -8:
                raise TemplateError(f"the node refuses key or script: {error.message}") from error
            raise NodeUnavailableError(f"getvotetemplate: {error}") from error
        return parse_template(
            answer, chain=self.chain, node=self.name, context=self._context, leader_key=self._leader_key,
            script=self._script,
        )  # fmt: skip

    async def wait_for_tip(self, previous_hash: bytes, wait_s: int) -> None:
        """Returns as soon as votes are for another block than this one (natural order), or after `wait_s`. Raises
        NodeUnavailableError."""
        script, timeout_s = self._script.hex(), wait_s + ANSWER_S
        parameters = (self._leader_key.hex(), script, displayed(previous_hash), wait_s)
        try:
            await self._rpc.call("waitfortemplate", *parameters, timeout_s=timeout_s)
        except RpcError as error:
            raise NodeUnavailableError(f"waitfortemplate: {error}") from error

    async def submit(self, payload: Mapping[str, str]) -> SubmitAnswer:
        """Hand in a vote. Raises NodeUnavailableError when there is no verdict, so that it is retried."""
        try:
            answer = await self._rpc.call("submitvote", payload["datum"], payload["proof"])
        except RpcError as error:
            return proof_verdict.of_error("submitvote", error)
        return proof_verdict.of_answer(answer)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        """Where it sees a vote, by displayed hash. Raises NodeUnavailableError."""
        status = await self._vote(hash_hex)
        if status.state == "included":
            amount = status.amount if status.script in self._scripts else 0
            place = Inclusion(status.block_hex, status.index, amount)
            return BlockStatus(True, status.confirmations, status.height, place)
        if status.state == "unknown":
            return BlockStatus(False)
        return BlockStatus(True, 0 if status.state == "waiting" else OFF_THE_MAIN_CHAIN, status.height)

    async def block_reward(self, hash_hex: str) -> int:
        """What a vote pays our addresses in the block that has it: its part of the subsidy, of the leading one the rest
        and the fees as well. Raises NodeUnavailableError, too when it is in no block of the preferred chain."""
        status = await self.block_status(hash_hex)
        if status.inclusion is None:
            raise NodeUnavailableError("getvotestatus: the vote is in no block any more")
        return status.inclusion.amount

    async def income_at(self, height: int) -> BlockIncome | None:
        """What the preferred chain's block at a height pays our addresses, whoever led it; None beyond the tip. Raises
        NodeUnavailableError."""
        hash_hex = await block_lookup.main_chain_hash(self._rpc, height)
        if hash_hex is None:
            return None
        block = None if not isinstance(hash_hex, str) else await self._block(hash_hex)
        if block is None or block.height != height or block.confirmations < 1:
            raise NodeUnavailableError(f"getblock: the block at height {height} left the chain meanwhile")
        ours = [vote for vote in block.votes if vote.script in self._scripts]
        return BlockIncome(hash_hex, height, tuple(PaidVote(one.index, one.vote_hex, one.amount) for one in ours))

    async def _vote(self, hash_hex: str) -> VoteStatus:
        answer = await ask(self._rpc, "getvotestatus", hash_hex)
        try:
            return parse_vote_status(answer, hash_hex)
        except ValueError as error:
            raise NodeUnavailableError(f"unusable getvotestatus answer: {error}") from error

    async def _block(self, hash_hex: str) -> BlockAnswer | None:
        try:
            return parse_block(await self._rpc.call("getblock", hash_hex))
        except RpcError as error:
            if error.code == block_lookup.RPC_NOT_FOUND:
                return None
            raise NodeUnavailableError(f"getblock: {error}") from error
        except FieldError as error:
            raise NodeUnavailableError(f"unusable getblock answer: {error}") from error

    # -- leading ----------------------------------------------------------------------------------------------------

    async def proposal(self, wait_s: int) -> Proposal | None:
        """The block that our key should sign, as soon as there is one, None after `wait_s`. Raises
        NodeUnavailableError."""
        try:
            answer = await self._rpc.call(
                "waitforproposal", self._leader_key.hex(), wait_s, timeout_s=wait_s + ANSWER_S
            )
        except RpcError as error:
            raise NodeUnavailableError(f"waitforproposal: {error}") from error
        if answer is None:
            return None
        try:
            return read_proposal(answer)
        except ValueError as error:
            raise NodeUnavailableError(f"unusable waitforproposal answer: {error}") from error

    async def submit_block(self, proposal: Proposal, signature: bytes) -> SubmitAnswer:
        """Hand in a signed proposal. Raises NodeUnavailableError when there is no verdict."""
        try:
            answer = await self._rpc.call(
                "submitblock", proposal.header.serialize().hex(), signature.hex(), list(proposal.votes),
                proposal.body.hex(),
            )  # fmt: skip
        except RpcError as error:
            return proof_verdict.of_error("submitblock", error)
        return proof_verdict.of_answer(answer)

    async def close(self) -> None:
        await self._rpc.close()
