"""Found blocks on their way: a durable record and the submission to the nodes, both at once, before any database.

The parent's block goes to all its nodes in parallel, an auxiliary proof to the node that made the template (no other
one knows the block). Each is retried until a final answer; what has none when the process dies is taken up by the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from chains.kind import AuxKind, ParentKind, SubmitAnswer, SubmitResult
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.hashes import displayed
from pool.blocks.solution_store import Outcome, SolutionRecord, SolutionStore, SolvingShare
from pool.blocks.solve_gate import SolveGate
from pool.jobs.job import Job
from pool.shares.validation import Verdict

log = logging.getLogger("parapool.blocks")

# Waits between tries (seconds); the last one repeats until the record is given up.
RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GIVE_UP_S = 7200.0
# A node process forgets its auxiliary templates when it restarts, and no other node knows them.
GIVE_UP_AUX_S = 600.0

OUTCOMES: dict[SubmitResult, Outcome] = {
    SubmitResult.ACCEPTED: "accepted",
    SubmitResult.DUPLICATE: "accepted",
    SubmitResult.INCONCLUSIVE: "unknown",
    SubmitResult.STALE: "rejected",
    SubmitResult.REJECTED: "rejected",
}

Nodes = Mapping[str, list[Any]]


class BlockSubmission:
    """Sends solves out and writes down how each ended. `kinds` and `nodes` are by chain name."""

    def __init__(
        self,
        store: SolutionStore,
        nodes: Nodes,
        kinds: Mapping[str, AuxKind],
        parent_kind: ParentKind,
        parent: str,
        on_outcome: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.nodes = nodes
        self.kinds = kinds
        self.parent_kind = parent_kind
        self.parent = parent
        self.gate = SolveGate()
        self.on_outcome = on_outcome
        self.results: dict[tuple[str, str], int] = {}
        self.submit_s: dict[str, float] = {}
        self._tasks: set[asyncio.Future[Any]] = set()

    def new_solves(self, job: Job, verdict: Verdict) -> tuple[tuple[str, bytes], ...]:
        """Of the chains a submission solved, those to submit now, with their block hashes (natural order)."""
        found = []
        for chain in verdict.solved:
            template = job.templates.aux.get(chain)
            aux_hash = None if template is None else template.aux_hash
            if self.gate.enter(chain, verdict.header_hash, aux_hash):
                found.append((chain, verdict.header_hash if aux_hash is None else aux_hash))
        return tuple(found)

    def send(
        self,
        job: Job,
        verdict: Verdict,
        solves: tuple[tuple[str, bytes], ...],
        share_sequence: int,
        share_weight: int,
        share: SolvingShare,
        *,
        conditional: bool,
    ) -> None:
        """Send these solves of one header, each on its own: one chain's failure is no other's. `conditional` marks a
        solve that was refused as a share (late, too low): its work counts for its blocks only."""
        solved = verdict.proven(job)
        for chain, block_hash in solves:
            template = job.templates.aux.get(chain)
            if template is None:
                parent = job.templates.parent
                payload = self.parent_kind.assemble(solved, parent)
                height, target, value, node, aux_hash = (
                    parent.height,
                    parent.target,
                    parent.value_sat,
                    parent.node,
                    None,
                )
            else:
                payload = self.kinds[chain].assemble(solved, template, job.commitments.slots[chain])
                height, target, value, node = template.height, template.target, template.value_sat, template.node
                aux_hash = template.aux_hash
            record = SolutionRecord(
                chain=chain,
                block_hash_hex=displayed(block_hash),
                height=height,
                payload=payload,
                nodes=[node],
                share_sequence=share_sequence,
                found_ms=time.time_ns() // 1_000_000,
                reward_hint=value,
                stale=conditional,
                target_hex=f"{target:064x}",
                share_weight=share_weight,
                solving_share=share,
            )
            log.info("solved chain=%s height=%d hash=%s stale=%s", chain, height, record.block_hash_hex, verdict.stale)
            self._start(self._carry(record, aux_hash, durable=False))

    def resume(self) -> int:
        """Take up every record without a final answer; how many there are."""
        records = list(self.store.open_records())
        for record in records:
            log.info("resuming submission chain=%s hash=%s", record.chain, record.block_hash_hex)
            self._start(self._carry(record, None, durable=True))
        return len(records)

    async def drain(self, timeout_s: float) -> None:
        """Give submissions under way some time at shutdown; the rest is resumed by the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("block submission broke off; its record stays open", exc_info=task.exception())

    async def _carry(self, record: SolutionRecord, aux_hash: bytes | None, *, durable: bool) -> None:
        """One record to its end: durable and on its way at the same time, then the outcome written down."""
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        kept = None if durable else loop.run_in_executor(None, self.store.put, record)
        answer = await self._until_final(record, started)
        if kept is not None:
            await kept
        self.gate.leave(record.chain, aux_hash, accepted=answer.result is SubmitResult.ACCEPTED)
        state = OUTCOMES[answer.result]
        self.results[record.chain, answer.result.value] = self.results.get((record.chain, answer.result.value), 0) + 1
        self.submit_s[record.chain] = time.monotonic() - started
        level = logging.ERROR if answer.result is SubmitResult.REJECTED else logging.INFO
        log.log(
            level,
            "submitted chain=%s height=%d hash=%s result=%s %s",
            record.chain,
            record.height,
            record.block_hash_hex,
            answer.result.value,
            answer.reason,
        )
        await loop.run_in_executor(
            None, self.store.outcome, record.chain, record.block_hash_hex, state, answer.reason or answer.result.value
        )
        self.on_outcome()

    def _targets(self, record: SolutionRecord) -> list[Any]:
        nodes = self.nodes.get(record.chain, [])
        if record.chain == self.parent:
            return list(nodes)
        return [n for n in nodes if n.name in record.nodes] or list(nodes)

    async def _until_final(self, record: SolutionRecord, started: float) -> SubmitAnswer:
        give_up_s = GIVE_UP_S if record.chain == self.parent else GIVE_UP_AUX_S
        tasks = [
            asyncio.ensure_future(self._one_node(node, record, started + give_up_s)) for node in self._targets(record)
        ]
        if not tasks:
            return SubmitAnswer(SubmitResult.REJECTED, "no node of this chain is configured")
        best: SubmitAnswer | None = None
        for next_answer in asyncio.as_completed(tasks):
            answer = await next_answer
            if answer.result in (SubmitResult.ACCEPTED, SubmitResult.DUPLICATE):
                best = answer
                break  # the other nodes go on being told, their answers change nothing
            if best is None or best.result is not SubmitResult.INCONCLUSIVE:
                best = answer
        for task in tasks:
            if not task.done():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        assert best is not None
        return best

    async def _one_node(self, node: Any, record: SolutionRecord, until: float) -> SubmitAnswer:
        attempt = 0
        while True:
            try:
                answer: SubmitAnswer = await node.submit(record.payload)
                return answer
            except (NodeUnavailableError, RpcError) as error:
                if time.monotonic() >= until:
                    return SubmitAnswer(SubmitResult.REJECTED, f"given up: {error}")
                if attempt == 0:
                    log.warning("submission waits chain=%s node=%s: %s", record.chain, node.name, error)
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1
