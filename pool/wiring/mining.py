"""What a process mines with, built of the configuration: chains and their watches, jobs, shares, submissions, servers.

An accountant has all of it too, without listening: its chains tell what became of blocks, its page what is mined.
"""

from __future__ import annotations

import secrets
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from chains.bitcoin.zmq_hint import ZmqHint
from chains.kind import AuxTemplate, ParentTemplate
from chains.primitives.hashes import POW_HASHES
from chains.registry import AUX_KINDS, PARENT_KINDS
from pool.accounting.reserve import Change
from pool.blocks.solution_store import SolutionStore
from pool.chain_setup import watched_chains
from pool.config import Config, PortSection
from pool.data_dir import StartError
from pool.job_setup import job_settings, trial_terms
from pool.jobs.job import ROLLING_MASK, Job
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.scheme_setup import announcement, realm_of, scheme_board
from pool.services.block_submission import BlockSubmission
from pool.services.chain_watch import TemplateWatch
from pool.services.job_broadcast import JobBroadcast
from pool.services.job_checks import JobChecks
from pool.services.share_intake import ShareIntake
from pool.shares.share_log import ShareLog
from stratum.addresses import AddressBook
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import PortPolicy
from stratum.server import StratumServer

# Shares of the last minutes are remembered across a restart, so that a miner's repetition stays a duplicate.
REMEMBER_SHARES_S = 600
STOP_SUBMISSIONS_S = 3.0


class Mining:
    """The mining parts of one process, each given what it needs."""

    def __init__(self, config: Config, share_log: ShareLog, solutions: SolutionStore) -> None:
        self.config = config
        self.chains = watched_chains(config)
        self.watches: dict[str, TemplateWatch] = {}
        parent = self.chains[config.parent]
        kinds = {name: AUX_KINDS[chain.kind] for name, chain in config.aux_chains.items()}
        parent_kind = PARENT_KINDS[config.parent_chain.kind]
        since_ms = time.time_ns() // 1_000_000 - REMEMBER_SHARES_S * 1000
        self.table = JobTable(share_log.recent_header_hashes(since_ms))
        nodes = {name: chain.nodes for name, chain in self.chains.items()}
        self.blocks = BlockSubmission(
            solutions, nodes, kinds, parent_kind, config.parent, on_outcome=self._ask_for_work
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
        self.servers = self._servers()
        settings = job_settings(config, parent, self._propose, self.schemes.pay_rates)
        self.jobs = JobBroadcast(TemplateBoard(tuple(kinds)), self.table, settings, self._broadcast)
        self.job_checks = JobChecks(trial_terms(config, parent))

    def _servers(self) -> dict[int, StratumServer]:
        """One server per extranonce2 size; they share extranonces, so that no two connections ever collide, and the
        counts of addresses, so that each limit holds for the pool."""
        extranonces = ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32))
        limits = Limits(**self.config.stratum.limits.model_dump())
        addresses = AddressBook(limits, time.monotonic())
        servers: dict[int, StratumServer] = {}
        for port in self.config.stratum.ports:
            size = port.extranonce2_size
            if size not in servers:
                servers[size] = StratumServer(
                    self.intake.facing(size), self._policy(port), limits, extranonces=extranonces, addresses=addresses
                )
        return servers

    def listen(self) -> None:
        """Opens the ports. Raises StartError."""
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        for port in self.config.stratum.ports:
            host, number = port.address
            try:
                self.servers[port.extranonce2_size].listen(reactor, host, number, self._policy(port))
            except CannotListenError as error:
                raise StartError(f"cannot listen on {port.bind}: {error.socketError}") from error

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the pool runs."""
        for name, chain in self.chains.items():
            section = self.config.chains[name]
            is_parent = name == self.config.parent
            watch = TemplateWatch(
                chain,
                self._post_parent if is_parent else self._posting(name),
                poll_interval_s=section.poll_interval_s,
                longpoll=is_parent and self.config.parent_chain.longpoll,
            )
            self.watches[name] = watch
            yield watch.run()
            for node in section.nodes:
                if node.zmq_hashblock is not None:
                    yield _hints(node.zmq_hashblock, watch)
        yield self.jobs.refresh()
        yield self.job_checks.run()

    def stop_listening(self) -> None:
        for server in self.servers.values():
            server.stop_listening()

    async def stop(self, loop: AbstractEventLoop) -> None:
        """Miners leave, and what was found is sent off."""
        for server in self.servers.values():
            if server.reactor is not None:
                await server.stop().asFuture(loop)
        await self.blocks.drain(STOP_SUBMISSIONS_S)

    async def close(self) -> None:
        for chain in self.chains.values():
            for node in chain.nodes:
                await node.close()

    # -- what the parts ask of each other -----------------------------------------------------------------------------

    def scheme_changed(self, chain: str, change: Change) -> None:
        """A chain's shares are bought again, or no more: new jobs say so, and so do we to the miners concerned."""
        if self.table.current is None:
            return
        for server in self.servers.values():
            server.announce(announcement(chain, change), self.schemes.realms_buying(chain))
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

    def _policy(self, port: PortSection) -> PortPolicy:
        return port_policy(port, realm_of(self.config, port))

    def _broadcast(self, job: Job) -> None:
        for size, server in self.servers.items():
            server.broadcast(job.layouts[size].offer)
        self.job_checks.saw(job)

    async def _propose(self, payload: dict[str, str], node_name: str) -> str | None:
        parent = self.chains[self.config.parent]
        node = parent.node_named(node_name) or parent.nodes[0]
        reason: str | None = await node.propose(payload)
        return reason


def port_policy(port: PortSection, realm: str) -> PortPolicy:
    return PortPolicy(
        start_difficulty=port.start_difficulty,
        minimum_difficulty=port.minimum_difficulty,
        maximum_difficulty=port.maximum_difficulty,
        share_interval_s=port.share_interval_s,
        vardiff=port.vardiff,
        cap_max_shares_per_min=port.cap_max_shares_per_min,
        version_mask=ROLLING_MASK,
        extranonce2_size=port.extranonce2_size,
        answers_at_once=port.ack == "memory",
        realm=realm,
    )


async def _hints(endpoint: str, watch: TemplateWatch) -> None:
    async for _ in ZmqHint(endpoint).hints():
        watch.hints.set()
