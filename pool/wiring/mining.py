"""What a process mines with, built of the configuration: chains and their watches, jobs, shares, submissions, servers.

An accountant has all of it too, without listening: its chains tell what became of blocks, its page what is mined.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from chains.bitcoin.zmq_hint import ZmqHint
from chains.kind import AuxTemplate, ParentTemplate
from chains.primitives.hashes import POW_HASHES
from chains.registry import AUX_KINDS, PARENT_KINDS
from pool.accounting.reserve import Change
from pool.blocks.solution_store import SolutionStore
from pool.chain_setup import watched_chains
from pool.config import BkChain, Config, ParallelChain, PortSection
from pool.config_reload import Reload
from pool.config_values import parse_bind
from pool.data_dir import StartError
from pool.job_setup import job_settings, trial_terms
from pool.jobs.job import ROLLING_MASK, Job
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.parallel_setup import network_members, shared_name
from pool.scheme_setup import announcement, realm_of, scheme_board
from pool.services.block_leading import BlockLeading
from pool.services.block_relay import BlockRelay
from pool.services.block_submission import BlockSubmission
from pool.services.chain_watch import TemplateWatch, WatchedChain
from pool.services.job_broadcast import JobBroadcast
from pool.services.job_checks import JobChecks
from pool.services.network_watch import NetworkWatch, Together, network_of
from pool.services.share_intake import ShareIntake
from pool.services.share_lanes import lanes
from pool.services.tip_hints import tip_hints
from pool.shares.route import RoutedLogin
from pool.shares.share_log import ShareLog
from pool.wiring.leading import leader_of
from stratum.addresses import AddressBook
from stratum.entrance import Entrance
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import PortPolicy
from stratum.port_claim import PortClaim
from stratum.server import StratumServer
from stratum.tls import Certificate

log = logging.getLogger("parapool")

# Shares of the last minutes are remembered across a restart, so that a miner's repetition stays a duplicate.
REMEMBER_SHARES_S = 600
STOP_SUBMISSIONS_S = 3.0
REROUTE_SLICE = 20  # connections per turn of the loop: a few milliseconds where every one has another address


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
        self.claim = PortClaim(owner_of(config))
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
        self.servers = self._servers(extranonces)
        self.certificates: dict[str, Certificate] = {}
        settings = job_settings(config, parent, self._propose, self.schemes.pay_rates)
        self.jobs = JobBroadcast(TemplateBoard(tuple(self.kinds)), self.table, settings, self._broadcast)
        self.job_checks = JobChecks(trial_terms(config, parent))

    def _servers(self, extranonces: ExtranonceAllocator) -> dict[int, StratumServer]:
        """One server per extranonce2 size; they share extranonces, so that no two connections ever collide, and the
        counts of addresses, so that each limit holds for the pool."""
        limits = Limits(**self.config.stratum.limits.model_dump())
        addresses = AddressBook(limits, time.monotonic())
        servers: dict[int, StratumServer] = {}
        for port in self.config.stratum.ports:
            size = port.extranonce2_size
            if size not in servers:
                servers[size] = StratumServer(
                    self.intake.facing(size), self._policy(port), limits, extranonces=extranonces, addresses=addresses
                )
                servers[size].lanes = lanes(self.intake)
        return servers

    def listen(self) -> None:
        """Opens the ports. Raises StartError."""
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        self.claim_ports()
        for port in self.config.stratum.ports:
            host, number = port.address
            entrance = self._entrance(port)
            try:
                self.servers[port.extranonce2_size].listen(reactor, host, number, self._policy(port), entrance)
            except CannotListenError as error:
                raise StartError(f"cannot listen on {port.bind}: {error.socketError}") from error

    def claim_ports(self) -> None:
        """Makes sure that nobody but this pool has them. Raises StartError."""
        for port in self.config.stratum.ports:
            try:
                self.claim.take(*port.address)
            except OSError as error:
                raise StartError(f"cannot listen on {port.bind}: {error}") from error

    def read_certificates(self) -> None:
        """Of all ports, for a process whose front ends open these. Raises StartError."""
        for port in self.config.stratum.ports:
            self._certificate(port)

    def _certificate(self, port: PortSection) -> Certificate | None:
        if port.tls is None:
            return None
        try:
            certificate = Certificate(port.tls.certificate_file, port.tls.key_file)
        except OSError as error:
            raise StartError(f"the certificate of {port.bind} cannot be used: {error}") from error
        self.certificates[port.bind] = certificate
        return certificate

    def _entrance(self, port: PortSection) -> Entrance:
        return Entrance(tuple(ip_network(text) for text in port.proxy_protocol_from), self._certificate(port))

    def _renew_certificates(self) -> None:
        """What a certificate's renewal left in the files, for connections from now on."""
        for certificate in self.certificates.values():
            try:
                certificate.renew()
            except OSError as error:
                file = certificate.certificate_file
                log.error("a certificate cannot be used, the former one stays file=%s: %s", file, error)

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
        for port in config.stratum.ports:
            self.servers[port.extranonce2_size].adopt(*port.address, self._policy(port))
        self._renew_certificates()
        if self.table.current is not None:
            self.jobs.send(clean=False)
        return former

    async def reroute(self) -> None:
        """Who is connected has named addresses for chains that were not there when he came. In slices, between which
        shares are answered; until his turn his credits of a new chain are held for him."""
        for server in self.servers.values():
            connections = list(server.connections)
            for start in range(0, len(connections), REROUTE_SLICE):
                for connection in connections[start : start + REROUTE_SLICE]:
                    users = connection.session.users
                    for login_text, user in users.items():
                        assert isinstance(user, RoutedLogin), "what authorize() gave"
                        users[login_text] = self.intake.reroute(login_text, user)
                await asyncio.sleep(0)

    @property
    def newest_parent(self) -> ParentTemplate | None:
        """The template that the newest job is of, as its node gave it."""
        return self.jobs.board.parent

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
        self.claim.release()
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

    def _policy(self, port: PortSection) -> PortPolicy:
        return port_policy(port, realm_of(self.config, port))

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
        drain_to=None if port.drain_to is None else parse_bind(port.drain_to),
    )


def owner_of(config: Config) -> str:
    """What the processes of one pool on this machine have in common, and nobody else has."""
    try:
        shared = config.transport.redis_url() if config.transport.kind == "redis" else config.database_url()
    except ValueError as error:
        raise StartError(str(error)) from error
    return f"{config.pool.name} {shared}"


async def _hints(endpoint: str, watch: TemplateWatch) -> None:
    async for _ in ZmqHint(endpoint).hints():
        watch.hints.set()
