"""Leads the blocks of a chain of votes: what a node proposes for our key is signed, once for each leading vote, and
goes to every node.

Time lost here is votes lost to the network, so the node tells at once (`waitforproposal`). While nobody signs here
others lead in our stead, and our votes are paid all the same. Of several processes with one key the one that holds its
promises leads; another takes over when that one ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from chains.bk.proposal import Proposal
from chains.kind import SubmitAnswer, SubmitResult
from chains.node_rpc import NodeUnavailableError
from chains.signer.keys import KeyFileError
from chains.signer.promises import PromisesError
from chains.signer.signer import AlreadyPromisedError
from pool.blocks.led_blocks import Leader, OpenLeader, SignedBlock

log = logging.getLogger("parapool.blocks")

T = TypeVar("T")

WAIT_S = 30
PAUSE_S = 1.0
"""After a proposal that came to nothing: the node would give the same one again at once."""

OPEN_AGAIN_S = 10.0
NO_NODE_S = 0.5

LED = (SubmitResult.ACCEPTED, SubmitResult.DUPLICATE, SubmitResult.INCONCLUSIVE)
ENDED = "nobody leads now"
UNSIGNED = "unsigned"
RESULTS = ("accepted", "inconclusive", "rejected", "unavailable", UNSIGNED)
"""Of a proposal, for the metrics: what the best of the nodes said, or that it was not signed."""


class LeadingNode(Protocol):
    """What is needed of chains/bk/node.py."""

    name: str

    async def proposal(self, wait_s: int) -> Proposal | None: ...

    async def submit_block(self, proposal: Proposal, signature: bytes) -> SubmitAnswer: ...


class BlockLeading:
    """One chain's, for the life of the process. `results` counts proposals by how they ended; `problem` says why
    nothing can be signed now, "" while it can."""

    def __init__(self, chain: str, nodes: Callable[[], Sequence[LeadingNode]]) -> None:
        """`nodes` gives the chain's usable nodes, the preferred one first."""
        self.chain = chain
        self.results: dict[str, int] = dict.fromkeys(RESULTS, 0)
        self.problem = ENDED
        self._runs = 0
        self._nodes = nodes

    @property
    def led(self) -> int:
        """Blocks that a node took."""
        return self.results["accepted"] + self.results["inconclusive"]

    @property
    def refused(self) -> int:
        return sum(self.results.values()) - self.led

    async def run(self, open_leader: OpenLeader) -> None:
        """For ever. Until a former one of it has ended, whose files these are, it waits like for another process."""
        self._runs += 1
        run = self._runs
        try:
            while True:
                leader = await self._open(open_leader)
                if leader is not None:
                    try:
                        await self._again(leader)
                        while await self.lead(leader, WAIT_S):
                            pass
                    finally:
                        leader.close()
                await asyncio.sleep(OPEN_AGAIN_S)
        finally:
            if run == self._runs:
                self.problem = ENDED

    async def lead(self, leader: Leader, wait_s: int) -> bool:
        """Waits for one proposal and leads it. False when the signer has to be opened anew."""
        nodes = self._nodes()
        if not nodes:
            await asyncio.sleep(NO_NODE_S)
            return True
        try:
            proposal = await nodes[0].proposal(wait_s)
        except NodeUnavailableError:
            await asyncio.sleep(PAUSE_S)  # the watch of its templates tells
            return True
        if proposal is None:
            return True
        try:
            block = await _in_thread(lambda: leader.sign(proposal))
        except AlreadyPromisedError as error:
            # Signed before with other contents that are lost: the vote's block is what nodes have of it, or nobody's.
            log.warning("a block cannot be led twice chain=%s height=%d: %s", self.chain, proposal.height, error)
            self.results[UNSIGNED] += 1
        except (PromisesError, OSError) as error:
            self.results[UNSIGNED] += 1
            self._failed(str(error))
            return False
        else:
            if await self._hand_in(block, nodes):
                return True
        await asyncio.sleep(PAUSE_S)
        return True

    async def _open(self, open_leader: OpenLeader) -> Leader | None:
        try:
            leader = await _in_thread(open_leader)
        except (KeyFileError, PromisesError, OSError) as error:
            self._failed(str(error))
            return None
        self.problem = ""
        log.info("leading blocks chain=%s", self.chain)
        return leader

    def _failed(self, problem: str) -> None:
        """Told once for as long as it is the same."""
        if problem != self.problem:
            self.problem = problem
            log.error("no block is led, the signer cannot be used chain=%s: %s", self.chain, problem)

    async def _again(self, leader: Leader) -> None:
        """A process before this one may have died between signing and handing in: nodes get those blocks once more."""
        try:
            blocks = await _in_thread(leader.signed)
        except PromisesError as error:
            self._failed(str(error))
            return
        while blocks and not (nodes := self._nodes()):
            await asyncio.sleep(NO_NODE_S)
        for block in blocks:
            answers = await self._tell(block, nodes)
            if any(isinstance(answer, SubmitAnswer) and answer.result is SubmitResult.ACCEPTED for answer in answers):
                self.results["accepted"] += 1
                log.info("block led before is taken now %s", self._tail(block))

    async def _hand_in(self, block: SignedBlock, nodes: Sequence[LeadingNode]) -> bool:
        answers = await self._tell(block, nodes)
        verdicts = [answer for answer in answers if isinstance(answer, SubmitAnswer)]
        for wanted in LED:
            if any(answer.result is wanted for answer in verdicts):
                best = SubmitResult.ACCEPTED if wanted is SubmitResult.DUPLICATE else wanted
                self.results[best.value] += 1
                log.info("block led %s result=%s", self._tail(block), wanted.value)
                return True
        reasons = "; ".join(answer.reason if isinstance(answer, SubmitAnswer) else str(answer) for answer in answers)
        log.warning("a block led by us is taken by no node %s: %s", self._tail(block), reasons)
        self.results["rejected" if verdicts else "unavailable"] += 1
        return False

    def _tail(self, block: SignedBlock) -> str:
        return f"chain={self.chain} height={block.proposal.height} hash={block.proposal.hash_hex}"

    async def _tell(self, block: SignedBlock, nodes: Sequence[LeadingNode]) -> list[SubmitAnswer | BaseException]:
        """All nodes' answers. Raises what is an error of ours."""
        calls = (node.submit_block(block.proposal, block.signature) for node in nodes)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, NodeUnavailableError):
                raise answer
        return list(answers)


async def _in_thread(work: Callable[[], T]) -> T:
    """Work on files that is not left half done: a cancelled caller waits for its end."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            result = task.result()
            if isinstance(result, Leader):
                result.close()
        raise
