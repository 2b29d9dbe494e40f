"""Found blocks on their way: a durable record and the submission to the nodes, both at once, before any database.

A proof is at its node within a millisecond, so it waits until the bytes of its record are the kernel's, which takes
less: a process that dies then has lost nothing. It waits neither for the flush, nor for a disk that hangs.

Each is told to its nodes until a final answer (pool/services/block_nodes.py); what has none when the process dies is
taken up by the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

from chains.kind import AuxKind, AuxTemplate, ParentKind
from chains.primitives.hashes import displayed
from pool.blocks.solution_store import SolutionRecord, SolutionStore, SolvingShare
from pool.blocks.solve_gate import SolveGate
from pool.jobs.job import Job
from pool.services.block_nodes import BlockNodes, Nodes, wait_s
from pool.services.submission_ending import UNBUILT, Ending, best
from pool.shares.scheme import Scheme
from pool.shares.validation import Verdict
from stratum.buckets import Buckets

log = logging.getLogger("parapool.blocks")

WRITTEN_S = 0.05
"""What a proof waits at most for its record's bytes to be written: a millisecond, and more on a machine that has too
much to do. A parent's block takes longer to its nodes than they do to the kernel, and waits for nothing."""

# Under a tenth of a second all is well; a block of 4 MB at a busy node takes a second.
SUBMIT_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class Elsewhere(Protocol):
    """Submits for a process that has no nodes (pool/services/block_relay.py)."""

    async def submit(self, record: SolutionRecord, until: float, *, again: bool) -> Ending:
        """`until` is monotonic; `again` tells that somebody may have submitted it before."""


class BlockSubmission:
    """Sends solves out and writes down how each ended. `kinds` and `nodes` are by chain name. For metrics: `results`
    counts endings by chain and word, `refusals` nodes' reasons by chain (not of stale ones), `submit_times` how long
    submissions took, `found` the solves that went out or should have."""

    def __init__(
        self,
        store: SolutionStore,
        nodes: Nodes,
        kinds: Mapping[str, AuxKind],
        parent_kind: ParentKind,
        parent: str,
        on_outcome: Callable[[str], None] = lambda chain: None,
    ) -> None:
        self.store = store
        self.nodes = BlockNodes(nodes, kinds, parent)
        self.kinds = kinds
        self.parent_kind = parent_kind
        self.parent = parent
        self.gate = SolveGate()
        self.on_outcome = on_outcome
        self.elsewhere: Elsewhere | None = None
        self.results: dict[tuple[str, str], int] = {}
        self.refusals: dict[tuple[str, str], int] = {}
        self.submit_times: dict[str, Buckets] = {}
        self.found: dict[str, int] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self._proofs: dict[tuple[str, str], list[Ending | None]] = {}

    def new_solves(self, job: Job, verdict: Verdict) -> tuple[tuple[str, bytes], ...]:
        """Of the chains a submission solved, those to submit now, with their block hashes (natural order)."""
        found = []
        for chain in verdict.solved:
            template = job.templates.aux.get(chain)
            once = self._once(chain, template)
            if not self.gate.enter(chain, verdict.header_hash, once):
                continue
            if template is None:
                found.append((chain, verdict.header_hash))
                continue
            kind = self.kinds[chain]
            if not kind.provable(verdict.proven(job).coinbase):
                self.gate.leave(chain, once, closes=False)
                log.warning("solve without a proof: its extranonces spoil the commitment chain=%s", chain)
                continue
            found.append((chain, kind.found_hash(template, verdict.header_hash)))
        return tuple(found)

    def send(
        self,
        job: Job,
        verdict: Verdict,
        solves: tuple[tuple[str, bytes], ...],
        share_sequence: int,
        share_weight: int,
        share: SolvingShare | None,
        *,
        conditional: bool,
        scheme_of: Callable[[str], Scheme] = lambda chain: "pplns",
    ) -> None:
        """Send these solves of one header, each on its own: one chain's failure is no other's. `conditional` marks a
        solve that was refused as a share (late, too low): its work counts for its blocks only. Without a `share`
        (of a worker that never logged in) nobody is credited for the solve itself. `scheme_of` tells under which scheme
        a chain's blocks are solved here."""
        for chain, block_hash in solves:
            self.found[chain] = self.found.get(chain, 0) + 1
            template = job.templates.aux.get(chain)
            once = self._once(chain, template)
            source = job.templates.parent if template is None else template
            try:
                payload = self._assemble(chain, job, verdict)
            except Exception:
                # What it was made of is told, so that the block can still be made by hand.
                log.critical(
                    "alarm: no block can be made of a solve chain=%s hash=%s header=%s coinbase=%s", chain,
                    displayed(block_hash), verdict.header.hex(), verdict.layout.coinbase(verdict.nonce).hex(),
                    exc_info=True,
                )  # fmt: skip
                self._count(chain, UNBUILT)
                self.gate.leave(chain, once, closes=False)
                continue
            record = SolutionRecord(
                chain=chain,
                block_hash_hex=displayed(block_hash),
                height=source.height,
                payload=payload,
                nodes=[source.node],
                share_sequence=share_sequence,
                found_ms=time.time_ns() // 1_000_000,
                reward_hint=source.value_sat,
                stale=conditional,
                target_hex=f"{source.target:064x}",
                share_weight=share_weight,
                solving_share=share,
                scheme=scheme_of(chain),
            )
            height = source.height
            log.info("solved chain=%s height=%d hash=%s stale=%s", chain, height, record.block_hash_hex, verdict.stale)
            self._start(record, once, durable=False)

    def resume(self) -> int:
        """Take up every record without a final answer; how many there are."""
        resumed = 0
        for record in self.store.open_records():
            if (record.chain, record.block_hash_hex) in self._proofs:
                continue  # under way already: a front end that died once more
            if not (self.nodes.any_of(record.chain) or (self.elsewhere is not None and self.nodes.know(record.chain))):
                # Left as it is: the chain may have left the configuration by mistake.
                log.error("no such chain, its found block waits chain=%s hash=%s", record.chain, record.block_hash_hex)
                continue
            log.info("resuming submission chain=%s hash=%s", record.chain, record.block_hash_hex)
            self._start(record, None, durable=True)
            resumed += 1
        return resumed

    async def drain(self, timeout_s: float) -> None:
        """Give submissions under way some time at shutdown; the rest is resumed by the next start."""
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=timeout_s)
        left = [*self._carrying, *self._writing]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, self.nodes.leave(), return_exceptions=True)

    # -- inside -------------------------------------------------------------------------------------------------

    def _once(self, chain: str, template: AuxTemplate | None) -> bytes | None:
        """What the gate closes after one success: an auxiliary block; None where every header counts."""
        return None if template is None or self.kinds[chain].many else template.aux_hash

    def _assemble(self, chain: str, job: Job, verdict: Verdict) -> dict[str, str]:
        solved = verdict.proven(job)
        template = job.templates.aux.get(chain)
        if template is None:
            return self.parent_kind.assemble(solved, job.templates.parent)
        return self.kinds[chain].assemble(solved, template, job.commitments.slots[chain])

    def _start(self, record: SolutionRecord, once: bytes | None, *, durable: bool) -> None:
        self._proofs.setdefault((record.chain, record.block_hash_hex), []).append(None)
        task = asyncio.get_running_loop().create_task(self._carry(record, once, durable=durable))
        self._carrying.add(task)
        task.add_done_callback(self._carried)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._carrying.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("block submission broke off; its record stays open", exc_info=task.exception())

    async def _carry(self, record: SolutionRecord, once: bytes | None, *, durable: bool) -> None:
        """One record to its end: durable and on its way at the same time, then the outcome written down."""
        started = time.monotonic()
        kept = None if durable else await self._keep(record)
        ending = await self._until_final(record, started, again=durable)
        self._count(record.chain, ending.word)
        if ending.is_refused:
            refusal = (record.chain, ending.reason or ending.word)
            self.refusals[refusal] = self.refusals.get(refusal, 0) + 1
        times = self.submit_times.setdefault(record.chain, Buckets(SUBMIT_BOUNDS_S))
        times.observe(time.monotonic() - started)
        self.gate.leave(record.chain, once, closes=ending.closes)
        log.log(
            logging.ERROR if ending.is_trouble else logging.INFO,
            "submitted chain=%s height=%d hash=%s result=%s %s",
            record.chain,
            record.height,
            record.block_hash_hex,
            ending.word,
            ending.reason,
        )
        final = self._of_all_proofs(record, ending)
        if kept is not None:
            await kept
        if final is not None:
            words = (record.chain, record.block_hash_hex, final.outcome, final.reason or final.word)
            await self._on_disk(record, partial(asyncio.to_thread, self.store.outcome, *words))
            self.on_outcome(record.chain)

    def _of_all_proofs(self, record: SolutionRecord, ending: Ending) -> Ending | None:
        """The ending of a block that several proofs may be under way for: good news at once, bad news with the last
        one; None while it is open."""
        key = (record.chain, record.block_hash_hex)
        endings = self._proofs[key]
        endings[endings.index(None)] = ending
        if None not in endings:
            del self._proofs[key]
        elif ending.outcome != "accepted":
            return None
        return best(e for e in endings if e is not None)

    async def _keep(self, record: SolutionRecord) -> asyncio.Task[None]:
        """Its way to the disk, begun."""
        written = asyncio.Event()

        async def put() -> None:
            temporary = await asyncio.to_thread(self.store.write_down, record)
            written.set()
            await asyncio.to_thread(self.store.put, record, temporary)

        kept = asyncio.get_running_loop().create_task(self._on_disk(record, put))
        self._writing.add(kept)
        kept.add_done_callback(self._writing.discard)
        if record.chain != self.parent:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_S):
                    await written.wait()
        return kept

    async def _on_disk(self, record: SolutionRecord, write: Callable[[], Awaitable[object]]) -> None:
        """Write, and try again for as long as the disk refuses: the submission itself never waits for it."""
        attempt = 0
        while True:
            try:
                await write()
                return
            except OSError as error:
                if attempt == 0:
                    log.critical(
                        "alarm: a found block cannot be written down chain=%s height=%d hash=%s: %s",
                        record.chain, record.height, record.block_hash_hex, error,
                    )  # fmt: skip
            await asyncio.sleep(wait_s(attempt))
            attempt += 1

    async def _until_final(self, record: SolutionRecord, started: float, *, again: bool) -> Ending:
        until = started + self.nodes.give_up_s(record.chain)
        if self.elsewhere is not None:
            return await self.elsewhere.submit(record, until, again=again)
        return await self.nodes.ask(record, until)

    def _count(self, chain: str, word: str) -> None:
        self.results[chain, word] = self.results.get((chain, word), 0) + 1
