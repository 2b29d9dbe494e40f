"""Where miners come in: the Stratum ports of one process, the servers behind them, their certificates.

A process without listeners has it too: an accountant listens nowhere, and one with front ends only claims their ports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import AbstractEventLoop
from ipaddress import ip_network

from pool.config.configuration import Config, PortSection
from pool.config.values import parse_bind
from pool.data_dir import StartError
from pool.jobs.job import ROLLING_MASK
from pool.scheme_setup import realm_of
from pool.services.share_intake import ShareIntake
from pool.services.share_lanes import lanes
from pool.shares.route import RoutedLogin
from stratum.addresses import AddressBook
from stratum.entrance import Entrance
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import PortPolicy
from stratum.port_claim import PortClaim
from stratum.server import StratumServer
from stratum.tls import Certificate

log = logging.getLogger("parapool")

REROUTE_SLICE = 20  # connections per turn of the loop: a few milliseconds where every one has another address


class MinerPorts:
    """`servers` by extranonce2 size; they share extranonces, so that no two connections ever collide, and the counts of
    addresses, so that each limit holds for the pool. `certificates` by the port's address in the configuration, of
    those that were read. `claim` keeps the ports this pool's."""

    def __init__(self, config: Config, intake: ShareIntake, extranonces: ExtranonceAllocator) -> None:
        self._config = config
        self._intake = intake
        self.claim = PortClaim(owner_of(config))
        self.certificates: dict[str, Certificate] = {}
        self.servers: dict[int, StratumServer] = {}
        limits = Limits(**config.stratum.limits.model_dump())
        addresses = AddressBook(limits, time.monotonic())
        for port in config.stratum.ports:
            size = port.extranonce2_size
            if size not in self.servers:
                self.servers[size] = StratumServer(
                    intake.facing(size), self._policy(port), limits, extranonces=extranonces, addresses=addresses
                )
                self.servers[size].lanes = lanes(intake)

    def listen(self) -> None:
        """Opens the ports. Raises StartError."""
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        self.claim_all()
        for port in self._config.stratum.ports:
            host, number = port.address
            entrance = self._entrance(port)
            try:
                self.servers[port.extranonce2_size].listen(reactor, host, number, self._policy(port), entrance)
            except CannotListenError as error:
                raise StartError(f"cannot listen on {port.bind}: {error.socketError}") from error

    def claim_all(self) -> None:
        """Makes sure that nobody but this pool has them. Raises StartError."""
        for port in self._config.stratum.ports:
            try:
                self.claim.take(*port.address)
            except OSError as error:
                raise StartError(f"cannot listen on {port.bind}: {error}") from error

    def read_certificates(self) -> None:
        """Of all ports, for a process whose front ends open these. Raises StartError."""
        for port in self._config.stratum.ports:
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

    def _policy(self, port: PortSection) -> PortPolicy:
        return port_policy(port, realm_of(self._config, port))

    def adopt(self, config: Config) -> None:
        """Takes over a new configuration at once, and what a certificate's renewal left in the files, for connections
        from now on."""
        self._config = config
        for port in config.stratum.ports:
            self.servers[port.extranonce2_size].adopt(*port.address, self._policy(port))
        for certificate in self.certificates.values():
            try:
                certificate.renew()
            except OSError as error:
                file = certificate.certificate_file
                log.error("a certificate cannot be used, the former one stays file=%s: %s", file, error)

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
                        users[login_text] = self._intake.reroute(login_text, user)
                await asyncio.sleep(0)

    def stop_listening(self) -> None:
        for server in self.servers.values():
            server.stop_listening()

    async def stop(self, loop: AbstractEventLoop) -> None:
        """Miners leave."""
        for server in self.servers.values():
            if server.reactor is not None:
                await server.stop().asFuture(loop)


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
