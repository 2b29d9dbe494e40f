"""The very job that miners would get, before anybody mines it: the parent is asked about the block, a copy is solved at
the easiest target, and every chain's proof of it goes to independent verifiers and, where a child's own node can be
asked without handing in a block, to that node.

An MM2 node can: it says `high-hash` only of a proof that is right in everything else (docs/protocol/mm2.md, section 5),
and a B_k node `vote-high-hash`, so each gets one whose work is missing on purpose. An MM1 node cannot: it answers a
plain false whatever is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from chains.kind import AuxTemplate, ParentTemplate, SubmitResult
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.config.configuration import Config
from pool.doctor.finding import Finding, good, in_thread, note, unchecked, wrong
from pool.doctor.node_under_test import NodeUnderTest
from pool.job_setup import job_settings, trial_terms
from pool.jobs.job import EXTRANONCE1_SIZE, Job
from pool.jobs.job_table import JobTable
from pool.jobs.proof_trial import try_job, unsolved_payload
from pool.jobs.template_board import TemplateBoard
from pool.services.chain_watch import WatchedChain
from pool.services.job_broadcast import JobBroadcast

PROPOSAL_S = 6.0
"""A node checks every transaction of the block."""

PROPOSALS = 3
"""So often is a job made anew when the parent's tip moves while the node is asked about it."""

ANSWER_S = 5.0
WORK_MISSING = frozenset({"high-hash", "vote-high-hash"})
"""What nodes say of a proof that lacks nothing but its work, by kind: MM2's word and that of chains of votes."""

ALWAYS_SOLVED = 2**256 - 2**246
"""Above it fewer than one hash in a thousand misses a target: that of a chain of votes which lay idle for long."""

REPORT = "This is a fault of the pool: report it with this table; until then take the chain out of the file."


class JobTrial:
    """One pool's job. `nodes` are all nodes by chain; a chain whose nodes offer nothing is not in the job."""

    def __init__(self, config: Config, parent: WatchedChain, nodes: Mapping[str, Sequence[NodeUnderTest]]) -> None:
        self._config = config
        self._parent = parent
        self._nodes = nodes
        self._settings = job_settings(config, parent, self._no_proposals)

    @staticmethod
    async def _no_proposals(payload: dict[str, str], node_name: str) -> str | None:
        raise AssertionError("jobs are built here, not sent")

    async def findings(self, parent: ParentTemplate | None, aux: Mapping[str, AuxTemplate]) -> list[Finding]:
        """Everything about the job of these templates."""
        name = self._config.parent
        if parent is None:
            return [unchecked(name, "job", "the parent offers no template")]
        try:
            job, found = self.build(parent, aux)
        except ValueError as error:
            return [wrong(name, "job", f"no job can be made: {error}", "Shorten pool.tag, or take a chain out.")]
        sizes = ", ".join(f"{size}" for size in job.layouts)
        words = f"{', '.join(job.templates.chains())}; extranonce2 of {sizes} bytes"
        found.append(good(name, "job", words))
        proposals, trials, asked = await asyncio.gather(
            self._proposals(job, aux), self._trials(job), self._children(job)
        )
        return [*found, *proposals, *trials, *asked]

    def build(self, parent: ParentTemplate, aux: Mapping[str, AuxTemplate]) -> tuple[Job, list[Finding]]:
        """The job as the pool makes it, and what is said of chains that cannot be in it. Raises ValueError."""
        found = []
        board = TemplateBoard(tuple(self._config.aux_chains))
        board.post_parent(parent)
        for name in self._config.aux_chains:
            template = aux.get(name)
            if template is None:
                continue
            other = board.clash(name, template)
            if other is not None:
                what = f"chain id {template.chain_id}" if template.context is None else "MM2 context"
                remedy = f"Take {other} or {name} out: two such chains need two pools."
                found.append(wrong(name, "job", f"it has the same {what} as {other} and is left out", remedy))
                continue
            board.post_aux(name, template)
        snapshot = board.snapshot()
        assert snapshot is not None, "the parent's template was posted"
        jobs = JobBroadcast(board, JobTable(), self._settings, lambda job: None)
        return jobs.build(snapshot, clean=True), found

    # -- the parent ---------------------------------------------------------------------------------------------------

    async def _proposals(self, job: Job, aux: Mapping[str, AuxTemplate]) -> list[Finding]:
        usable = [node for node in self._nodes[self._config.parent] if node.is_usable]
        return list(await asyncio.gather(*(self._proposal(node, job, aux) for node in usable)))

    async def _proposal(self, node: NodeUnderTest, job: Job, aux: Mapping[str, AuxTemplate]) -> Finding:
        """Whether the node would take the block but for its work. One that is on another tip gets a job of its own."""
        subject, check = node.subject, "block proposal"
        try:
            async with asyncio.timeout(PROPOSAL_S):
                for _ in range(PROPOSALS):
                    reason = await self._refusal(node, job)
                    if reason is None or not reason.startswith(("inconclusive", "duplicate")):
                        break
                    job, _ = self.build(await node.node.template(), aux)
        except (TimeoutError, NodeUnavailableError) as error:
            words = str(error) or f"no answer within {PROPOSAL_S:g} s"
            return wrong(subject, check, words, "The node hangs or is overloaded: look at its log, disk and memory.")
        except RpcError as error:
            return note(subject, check, f"the node offers none: {error}", "Blocks are mined without asking before.")
        except ValueError as error:
            return wrong(subject, check, str(error), "Update node or pool.")
        if reason is None:
            return good(subject, check, f"the node would take our block at height {job.templates.parent.height}")
        if reason.startswith(("inconclusive", "duplicate")):
            return note(subject, check, f"its tip moved each time we asked: {reason}", "Run the doctor again.")
        remedy = "Mostly a new rule of the parent: update node and pool. Until then the pool mines less than it could."
        return wrong(subject, check, f"the node would refuse our block: {reason}", remedy)

    async def _refusal(self, node: NodeUnderTest, job: Job) -> str | None:
        """The node's first reason against the block of any port's layout, None when it would take all of them."""
        for size, layout in job.layouts.items():
            coinbase = layout.coinbase(bytes(EXTRANONCE1_SIZE + size))
            payload = self._settings.parent_kind.proposal(coinbase, job.templates.parent)
            reason: str | None = await node.node.propose(payload)
            if reason is not None:
                return reason
        return None

    # -- the proofs ---------------------------------------------------------------------------------------------------

    async def _trials(self, job: Job) -> list[Finding]:
        trials = await in_thread(try_job, job, trial_terms(self._config, self._parent))
        return [self._trial(job, chain, problem) for chain, problem in trials]

    def _trial(self, job: Job, chain: str, problem: str) -> Finding:
        template = job.templates.aux.get(chain)
        if template is None:
            check, words = "coinbase", "pays the configured address all there is"
            return wrong(chain, check, problem, REPORT) if problem else good(chain, check, words)
        check = "AuxPoW proof" if template.context is None else "MM2 proof"
        if not problem:
            return good(chain, check, "two verifiers take it, solved at the easiest target")
        if problem.startswith("parent has our chain id"):
            remedy = "The parent's block version carries this chain's id: take the chain out until the version changes."
            return wrong(chain, check, f"it would be refused: {problem}", remedy)
        return wrong(chain, check, f"it would be refused: {problem}", REPORT)

    # -- the children's own rules -------------------------------------------------------------------------------------

    async def _children(self, job: Job) -> list[Finding]:
        mm2 = [template for template in job.templates.aux.values() if template.context is not None]
        return list(await asyncio.gather(*(self._child(job, template) for template in mm2)))

    async def _child(self, job: Job, template: AuxTemplate) -> Finding:
        """What the node that made the template says of a proof that lacks nothing but its work."""
        node = next(node for node in self._nodes[template.chain] if node.node.name == template.node)
        subject, check = node.subject, "own rules"
        if template.target > ALWAYS_SOLVED:
            return unchecked(subject, check, "its target is so easy that no proof lacks work")
        size = next(iter(job.layouts))
        try:
            payload = unsolved_payload(job, size, template, self._settings.kinds, self._parent.network.pow_hash)
            async with asyncio.timeout(ANSWER_S):
                answer = await node.node.submit(payload)
        except (TimeoutError, NodeUnavailableError) as error:
            words = str(error) or f"no answer within {ANSWER_S:g} s"
            return wrong(subject, check, words, "The node hangs or is overloaded: look at its log, disk and memory.")
        except ValueError as error:
            return wrong(subject, check, f"no proof can be made: {error}", REPORT)
        if answer.reason in WORK_MISSING:
            return good(subject, check, "the node takes the proof, but for its missing work")
        if answer.result is SubmitResult.STALE:
            return note(subject, check, "its tip moved while we asked", "Run the doctor again.")
        if answer.result is not SubmitResult.REJECTED:
            words = f"the node takes a proof without work: {answer.result}"
            return wrong(subject, check, words, "The node does not check what it is there for: do not mine with it.")
        remedy = f"Node and pool do not read docs/protocol in the same way: compare versions. {REPORT}"
        return wrong(subject, check, f"the node would refuse our proof: {answer.reason}", remedy)
