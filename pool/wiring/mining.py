"""What a process mines with, built of the configuration: chains and their watches, jobs, shares, submissions, servers.

An accountant has all of it too, without listening: its chains tell what became of blocks, its page what is mined.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from chains.bitcoin.zmq_hint import ZmqHint
from chains.kind import AuxTemplate, ParentTemplate
from chains.primitives.hashes import POW_HASHES
from chains.registry import AUX_KINDS, PARENT_KINDS
from pool.accounting.reserve import Change
from pool.blocks.solution_store import SolutionStore
from pool.chain_setup import watched_chains
from pool.config.configuration import BkChain, Config, ParallelChain
from pool.config.reload import Reload
from pool.job_setup import job_settings, trial_terms
from pool.jobs.job import Job
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.parallel_setup import network_members, shared_name
from pool.scheme_setup import announcement, scheme_board
from pool.services.block_leading import BlockLeading
from pool.services.block_relay import BlockRelay
from pool.services.block_submission import BlockSubmission
from pool.services.chain_watch import TemplateWatch, WatchedChain
from pool.services.job_broadcast import JobBroadcast
from pool.services.job_checks import JobChecks
from pool.services.network_watch import NetworkWatch, Together, network_of
from pool.services.share_intake import ShareIntake
from pool.services.tip_hints import tip_hints
from pool.shares.share_log import ShareLog
from pool.wiring.leading import leader_of
from pool.wiring.miner_ports import MinerPorts
from stratum.extranonce import ExtranonceAllocator

# Shares of the last minutes are remembered across a restart, so that a miner's repetition stays a duplicate.
REMEMBER_SHARES_S = 600
STOP_SUBMISSIONS_S = 3.0


class Mining:
    """The mining parts of one process, each given what it needs."""

    def __init__(
        self,
        config: Config,
        share_log: ShareLog,
        solutions: SolutionStore,
        extranonces: ExtranonceAllocator | None = None,
    ) -> None:
        """Without `extranonces` this process has all of their space."""
        self.config = config
        self.relay: BlockRelay | None = None  # who submits the blocks of a process without nodes
        self.on_job: Callable[[Job], None] = lambda job: None
        self.on_announcement: Callable[[str, set[str]], None] = lambda text, realms: None
        self.chains = watched_chains(config)
        self.watches: dict[str, TemplateWatch] = {}
        self.leading: dict[str, BlockLeading] = {}  # chains of votes whose blocks this process leads
        self.left: dict[str, WatchedChain] = {}  # chains that a reload took out; their blocks are still followed
        parent = self.chains[config.parent]
        self.kinds = {name: AUX_KINDS[chain.kind] for name, chain in config.aux_chains.items()}
        parent_kind = PARENT_KINDS[config.parent_chain.kind]
        since_ms = time.time_ns() // 1_000_000 - REMEMBER_SHARES_S * 1000
        self.table = JobTable(share_log.recent_header_hashes(since_ms))
        self.nodes = {name: chain.nodes for name, chain in self.chains.items()}
        self.blocks = BlockSubmission(
            solutions, self.nodes, self.kinds, parent_kind, config.parent, on_outcome=self._ask_for_work
        )
        pow_name = parent.network.pow_hash
        self.schemes = scheme_board(config)
        self.intake = ShareIntake(
            self.table,
            share_log,
            self.blocks,
            {name: chain.network for name, chain in self.chains.items()},
            config.parent,
            pow_name,
            None if pow_name == "sha256d" else POW_HASHES[pow_name],
            self.schemes,
        )
        if extranonces is None:
            extranonces = ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32))
        self.ports = MinerPorts(config, self.intake, extranonces)
        self.servers = self.ports.servers
        settings = job_settings(config, parent, self._propose, self.schemes.pay_rates)
        self.jobs = JobBroadcast(TemplateBoard(tuple(self.kinds)), self.table, settings, self._broadcast)
        self.job_checks = JobChecks(trial_terms(config, parent))

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the pool runs."""
        yield self.jobs.refresh()
        yield self.job_checks.run()

    async def watch(self, name: str) -> None:
        """One chain's templates, for ever."""
        section = self.config.chains[name]
        if isinstance(section, ParallelChain):
            await self._watch_network(name, section)
            return
        is_parent = name == self.config.parent
        watch = self.watches[name] = TemplateWatch(
            self.chains[name],
            self._post_parent if is_parent else self._posting(name),
            poll_interval_s=section.poll_interval_s,
            longpoll=is_parent and self.config.parent_chain.longpoll,
        )
        hints = [node.zmq_hashblock for node in section.nodes if node.zmq_hashblock is not None]
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            for endpoint in hints:
                group.create_task(_hints(endpoint, watch))
            if isinstance(section, BkChain):
                group.create_task(tip_hints(self.chains[name], self._voted_for(name), watch.hints.set))
                if self.config.leads:
                    group.create_task(self._leading(name).run(leader_of(section, self.config.pool.data_dir, name)))

    def _voted_for(self, name: str) -> Callable[[], bytes | None]:
        def previous_hash() -> bytes | None:
            template = self.jobs.board.aux(name) if name in self.chains else None
            return None if template is None else template.previous_hash

        return previous_hash

    def _leading(self, name: str) -> BlockLeading:
        """The same for as long as the process runs: what it counts goes on over reloads."""
        if name not in self.leading:
            chain = self.chains[name]
            usable = lambda: [chain.nodes[index] for index in chain.usable(time.monotonic())]  # noqa: E731
            self.leading[name] = BlockLeading(name, usable)
        return self.leading[name]

    async def _watch_network(self, name: str, section: ParallelChain) -> None:
        """All chains of a network, by the first of them."""
        names = network_members(self.config, section.network_name)
        if name != next(iter(names)):
            return
        members = {member: self.chains[member] for member in names}
        network = network_of(members, shared_name(members))
        shared = NetworkWatch(network, members, self._post_together, poll_interval_s=section.poll_interval_s)
        self.watches.update(dict.fromkeys(members, shared.watch))
        await shared.run()

    async def watch_left(self, name: str) -> None:
        """A chain that was taken out: its nodes' health, for as long as its blocks are followed."""
        chain = self.left[name]
        async with asyncio.TaskGroup() as group:
            for index in range(len(chain.nodes)):
                group.create_task(chain.watch_health(index))

    def adopt(self, reload: Reload, fresh: Mapping[str, WatchedChain]) -> list[Any]:
        """Takes over a new configuration at once; no miner leaves for it. `fresh` are the added and the renewed chains
        as it has them; they have to be watched anew. Returns the nodes that nobody asks any more.
        """
        config = self.config = reload.new
        former: list[Any] = []
        for name in reload.renewed:
            former += self.chains[name].adopt(fresh[name])
        for name in reload.removed:
            chain = self.left[name] = self.chains.pop(name)
            chain.in_tree, chain.target = False, None
            self.watches.pop(name, None)  # a front end of several watches nothing
        found = dict(self.chains)
        for name in reload.added:
            back = self.left.pop(name, None)  # followed all the time, so it stays the one that is followed
            if back is not None:
                former += back.adopt(fresh[name])
            found[name] = fresh[name] if back is None else back
        self.chains.clear()
        self.chains.update((name, found[name]) for name in (config.parent, *config.aux_chains))
        self.kinds.update((name, AUX_KINDS[chain.kind]) for name, chain in config.aux_chains.items())
        self.nodes.update((name, chain.nodes) for name, chain in self.chains.items())
        parent = self.chains[config.parent]
        self.schemes.adopt(scheme_board(config))
        self.jobs.settings = job_settings(config, parent, self._propose, self.schemes.pay_rates)
        self.jobs.board.arrange(tuple(config.aux_chains))
        self.job_checks.terms = trial_terms(config, parent)
        # What is left as well: a job that was sent before may still be worked on.
        self.intake.adopt({name: chain.network for name, chain in (*self.chains.items(), *self.left.items())})
        self.ports.adopt(config)
        if self.table.current is not None:
            self.jobs.send(clean=False)
        return former

    @property
    def newest_parent(self) -> ParentTemplate | None:
        """The template that the newest job is of, as its node gave it."""
        return self.jobs.board.parent

    async def stop(self, loop: AbstractEventLoop) -> None:
        """Miners leave, and what was found is sent off."""
        await self.ports.stop(loop)
        await self.blocks.drain(STOP_SUBMISSIONS_S)

    async def close(self) -> None:
        self.ports.claim.release()
        for chain in (*self.chains.values(), *self.left.values()):
            for node in chain.nodes:
                await node.close()

    # -- what the parts ask of each other -----------------------------------------------------------------------------

    def scheme_changed(self, chain: str, change: Change) -> None:
        """A chain's shares are bought again, or no more: new jobs say so, and so do we to the miners concerned."""
        if self.table.current is None:
            return
        for server in self.servers.values():
            server.announce(announcement(chain, change), self.schemes.realms_buying(chain))
        self.on_announcement(announcement(chain, change), self.schemes.realms_buying(chain))
        self.jobs.send(clean=False)

    def _ask_for_work(self, chain: str) -> None:
        """An auxiliary block has its answer: its template is used up, and waiting for the next poll wastes work. The
        parent's long poll tells by itself."""
        if chain != self.config.parent and chain in self.watches:
            self.watches[chain].hints.set()

    def _post_parent(self, template: ParentTemplate | None) -> None:
        if template is not None:
            self.schemes.saw(template)
        self.jobs.post_parent(template)

    def _posting(self, name: str) -> Callable[[AuxTemplate | None], None]:
        def post(template: AuxTemplate | None) -> None:
            if template is not None:
                self.schemes.saw(template)
            self.jobs.post_aux(name, template)

        return post

    def _post_together(self, templates: Together) -> None:
        for template in templates.values():
            if template is not None:
                self.schemes.saw(template)
        self.jobs.post_together(templates)

    def _broadcast(self, job: Job) -> None:
        for size, server in self.servers.items():
            server.broadcast(job.layouts[size].offer)
        self.on_job(job)
        self.job_checks.saw(job)

    async def _propose(self, payload: dict[str, str], node_name: str) -> str | None:
        parent = self.chains[self.config.parent]
        node = parent.node_named(node_name) or parent.nodes[0]
        reason: str | None = await node.propose(payload)
        return reason


async def _hints(endpoint: str, watch: TemplateWatch) -> None:
    async for _ in ZmqHint(endpoint).hints():
        watch.hints.set()
