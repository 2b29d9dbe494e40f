"""From templates to jobs: when a new one is made, whether it is clean, and that its form is one the parent accepts.

A new parent tip is sent at once and clean. New auxiliary templates are coalesced for 300 ms into one job that is not
clean, at least 2 s after the last. A block form (shape) that was never mined is first proposed to the parent; a refused
one is retried without MM2, then without any auxiliary chain, then empty, and an alarm is raised: a rule change of the
parent never stops mining.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chains.kind import AuxKind, AuxTemplate, ParentKind, ParentTemplate
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.jobs.job import EXTRANONCE1_SIZE, Job, build_job
from pool.jobs.job_table import JobTable
from pool.jobs.pay_rate import PayRate
from pool.jobs.template_board import TemplateBoard
from pool.jobs.template_set import Reduction, Shape, TemplateSet, reduce, shape_of
from pool.jobs.tip import Tip
from pool.ticks import next_tick

log = logging.getLogger("parapool.jobs")

COALESCE_S = 0.3
AUX_SPACING_S = 2.0
# Miners that hear nothing suspect a dead pool, and ntime should not fall behind: a job at least this often.
REFRESH_S = 30.0
# A refused shape is proposed again after this long; the node may have been repaired.
REFUSED_FOR_S = 600.0
# Jobs are numbered from the start's time in such fractions of a second: far more than are ever made in one.
SEQUENCE_BITS = 12
# A target that eases more than this factor from one template to the next may not lower everybody's difficulty.
EASING_LIMIT = 4


@dataclass
class JobSettings:
    """What jobs are made with: the kind of each auxiliary chain, its `notify` policy, payout script and tag."""

    parent_kind: ParentKind
    kinds: Mapping[str, AuxKind]
    notify: Mapping[str, str]
    payout_script: bytes
    tag: bytes
    difficulty_of: Callable[[int], float]
    propose: Callable[[dict[str, str], str], Any]
    fixed_version_bits: Callable[[TemplateSet], int] = field(default=lambda templates: 0)
    extranonce2_sizes: tuple[int, ...] = (4,)
    pay_rates: Callable[[TemplateSet], Mapping[str, PayRate]] = field(default=lambda templates: {})


class JobBroadcast:
    """Owns the board and the job table's growth; `broadcast` sends a finished job to every miner."""

    def __init__(
        self,
        board: TemplateBoard,
        table: JobTable,
        settings: JobSettings,
        broadcast: Callable[[Job], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.board = board
        self.table = table
        self.settings = settings
        self.broadcast = broadcast
        self.clock = clock
        self.accepted_shapes: set[Shape] = set()
        self.refused_shapes: dict[Shape, float] = {}
        self.refusals: dict[str, int] = {}
        self.uncapped: set[str] = set()
        self.sent_at = float("-inf")
        self.jobs_sent = 0
        self.chain_jobs: dict[str, int] = {}  # jobs sent that worked for the chain
        self._prefix = secrets.token_hex(2)
        # Above all of a maker before this one, whose miners may still be here. And as it is in the coinbase, two makers
        # of one pool do not have equal jobs, for equal extranonces.
        self._first_sequence = self._sequence = int(time.time()) << SEQUENCE_BITS | secrets.randbits(SEQUENCE_BITS)
        self._parent_at = self.clock()
        self.clock_offset_s: float | None = None  # the parent node's clock less ours, at its newest template
        self._due: asyncio.TimerHandle | None = None
        self._due_clean = False
        self._clashes: set[str] = set()
        self._eased_at: dict[str, int] = {}
        self._failure = ""
        self._unanswered = ""
        self._proposals: dict[Shape, asyncio.Task[None]] = {}

    def post_parent(self, template: ParentTemplate | None) -> None:
        """A template of the parent: a new tip goes out now, a refreshed one like an auxiliary change. Without one (its
        nodes are away) miners keep their job: it may be good for longer than the outage lasts."""
        if template is None:
            return
        before = self.board.parent
        self._parent_at = self.clock()
        self.clock_offset_s = template.current_time - int(time.time())
        if self.board.post_parent(template):
            self._cancel_due()
            self.send(clean=True)
        elif (before is not None and before.merkle_branch != template.merkle_branch) or self._old():
            self._send_soon(clean=False)

    def post_aux(self, chain: str, template: AuxTemplate | None) -> None:
        """A template of an auxiliary chain, or None when it leaves the tree."""
        self.post_together({chain: template})

    def post_together(self, templates: Mapping[str, AuxTemplate | None]) -> None:
        """The same of several chains, whose templates are never in jobs without each other's: one proof pays all."""
        for chain, template in templates.items():
            self._post_aux(chain, template, templates)

    def _post_aux(self, chain: str, template: AuxTemplate | None, together: Container[str]) -> None:
        if template is not None:
            template = self._without_clash(chain, template, together)
        before = self.board.aux(chain)
        self._watch_easing(chain, before, template)
        if not self.board.post_aux(chain, template):
            return
        policy = self.settings.notify[chain]
        if policy != "off" or before is None or template is None:
            self._send_soon(clean=policy == "clean" and template is not None)

    def _without_clash(self, chain: str, template: AuxTemplate, besides: Container[str]) -> AuxTemplate | None:
        """None, with an alarm, for a chain that cannot be in one tree with another one: the first come stays."""
        other = self.board.clash(chain, template, besides)
        if other is None:
            self._clashes.discard(chain)
            return template
        if chain not in self._clashes:
            self._clashes.add(chain)
            what = f"chain id {template.chain_id}" if template.context is None else "MM2 context"
            log.error("alarm: chains %s and %s have the same %s; %s is left out", other, chain, what, chain)
        return None

    def _watch_easing(self, chain: str, before: AuxTemplate | None, template: AuxTemplate | None) -> None:
        """An easing of more than fourfold between two templates is alarming; the next block's template that is no
        easier still makes it the chain's new target."""
        if template is None or before is None:
            return
        if template.target > EASING_LIMIT * before.target:
            if chain not in self.uncapped:
                self.uncapped.add(chain)
                log.error("alarm: target eased over fourfold, chain no longer caps difficulty chain=%s", chain)
            self._eased_at[chain] = template.height
        elif chain in self.uncapped and template.target <= before.target and template.height > self._eased_at[chain]:
            self.uncapped.discard(chain)
            log.warning("target steady, chain caps difficulty again chain=%s", chain)

    def _old(self) -> bool:
        return self.clock() - self.sent_at >= REFRESH_S

    def _send_soon(self, *, clean: bool) -> None:
        self._due_clean |= clean
        if self._due is None:
            spacing = self.sent_at + AUX_SPACING_S - self.clock()
            self._due = asyncio.get_running_loop().call_later(max(COALESCE_S, spacing), self._send_due)

    def _send_due(self) -> None:
        self._due = None
        self.send(clean=self._due_clean)

    def _cancel_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    async def refresh(self) -> None:
        """Send a job at least every 30 s, for ever."""
        while True:
            await next_tick(1.0)
            if self._old() and self._due is None and self.board.parent is not None:
                self.send(clean=False)

    def send(self, *, clean: bool) -> None:
        """Make a job of the newest templates and send it, in the fullest shape that the parent is known to accept."""
        templates = self.board.snapshot()
        if templates is None:
            return
        current = self.table.current
        moved = current is None or current.previous_hash != templates.parent.previous_hash
        job = self._best_job(templates, clean=clean or self._due_clean or moved)
        if job is None:
            return
        self._cancel_due()
        self._due_clean = False
        self.deliver(job)

    def deliver(self, job: Job) -> None:
        """Make it the current job, and send it to every miner."""
        self.table.add(job, self.clock())
        self.sent_at = self.clock()
        self.jobs_sent += 1
        for chain in job.templates.chains():
            self.chain_jobs[chain] = self.chain_jobs.get(chain, 0) + 1
        self.broadcast(job)

    def _best_job(self, templates: TemplateSet, *, clean: bool) -> Job | None:
        """A job of the fullest shape that the parent accepts and that can be made: what a kind cannot commit to, or a
        coinbase that grew too long, must not stop the parent."""
        failure = ""
        job = None
        for chosen in self._minable(templates):
            try:
                job = self.build(chosen, clean=clean)
                break
            except ValueError as error:
                failure = failure or str(error)
        if failure and failure != self._failure:
            log.error("alarm: no job can be made of the newest templates, mining less: %s", failure)
        self._failure = failure
        return job

    def build(self, templates: TemplateSet, *, clean: bool, tip: Tip | None = None) -> Job:
        """A job of these templates on the current tip, which moves when the parent's previous hash is another."""
        if tip is None:
            tip = self.table.tip
            if tip is None or tip.previous_hash != templates.parent.previous_hash:
                tip = self.table.move_tip(templates.parent.previous_hash)
        self._sequence += 1
        settings = self.settings
        job = build_job(
            self._sequence,
            f"{self._prefix}{self._sequence - self._first_sequence:x}",
            templates,
            tip,
            kinds=settings.kinds,
            payout_script=settings.payout_script,
            tag=settings.tag,
            clean=clean,
            uncapped=frozenset(self.uncapped),
            difficulty_of=settings.difficulty_of,
            fixed_version_bits=settings.fixed_version_bits(templates),
            extranonce2_sizes=settings.extranonce2_sizes,
            template_age_s=int(self.clock() - self._parent_at),
        )
        job.pay_rates = settings.pay_rates(templates)
        return job

    def _minable(self, templates: TemplateSet) -> Iterator[TemplateSet]:
        """The reductions whose shapes were accepted, the fullest first. Fuller ones never asked about are proposed
        meanwhile."""
        for reduction in Reduction:
            reduced = reduce(templates, reduction)
            if reduced is None:
                continue
            shape = shape_of(reduced)
            if shape in self.accepted_shapes:
                yield reduced
                continue
            if self.clock() < self.refused_shapes.get(shape, float("-inf")):
                continue
            if shape not in self._proposals:
                task = asyncio.get_running_loop().create_task(self._propose(reduced, shape, reduction))
                self._proposals[shape] = task
            if not self.accepted_shapes:
                return  # nothing is known yet: wait for this answer instead of asking about lesser shapes too

    async def _propose(self, templates: TemplateSet, shape: Shape, reduction: Reduction) -> None:
        """Ask the parent whether it would accept a block of this shape, then send what became possible."""
        try:
            reason = await self._ask(templates)
        except ValueError as error:
            reason = f"no job can be made: {error}"
        finally:
            del self._proposals[shape]
        if reason is None:
            self.accepted_shapes.add(shape)
        elif reason == "":
            await asyncio.sleep(0.2)
        else:
            self.refused_shapes[shape] = self.clock() + REFUSED_FOR_S
            self.refusals[reason] = self.refusals.get(reason, 0) + 1
            log.error("alarm: the parent refuses blocks with %s: %s; mining less", reduction.value, reason)
        self.send(clean=False)

    async def _ask(self, templates: TemplateSet) -> str | None:
        """None when the shape is good, "" when nothing was learnt, else the node's reason."""
        job = self.build(templates, clean=False, tip=Tip(templates.parent.previous_hash))
        size, layout = next(iter(job.layouts.items()))
        payload = self.settings.parent_kind.proposal(layout.coinbase(bytes(EXTRANONCE1_SIZE + size)), templates.parent)
        try:
            reason: str | None = await self.settings.propose(payload, templates.parent.node)
        except NodeUnavailableError as error:
            if str(error) != self._unanswered:
                self._unanswered = str(error)
                log.warning("block proposal not answered, asking on: %s", error)
            return ""
        except RpcError as error:
            log.warning("the parent node offers no block proposals (%s); shapes are mined unchecked", error)
            return None
        self._unanswered = ""
        if reason is not None and (reason.startswith(("inconclusive", "duplicate")) or self._moved(templates)):
            return ""  # the tip moved while we asked
        return reason

    def _moved(self, templates: TemplateSet) -> bool:
        return self.board.parent is None or self.board.parent.previous_hash != templates.parent.previous_hash
