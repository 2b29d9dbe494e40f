"""The miners' side of the configuration: ports, and what a stranger on them may use up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pool.config.ports import NetworkText, TlsSection
from pool.config.section import Section
from pool.config.values import Bind, Difficulty, HostPort, PortScheme, Seconds, StratumUrl, as_tuple, parse_bind


class PortSection(Section):
    """One Stratum port."""

    bind: Bind = Field(description="Address and port to listen on.")
    public_url: StratumUrl | None = Field(
        None, description="What miners are told to connect to, `stratum+tcp://HOST:PORT` or, behind a proxy with TLS, "
        "`stratum+ssl://HOST:PORT`. Default: `bind`; its port under the page's own name where that is 0.0.0.0 or ::."
    )
    start_difficulty: Difficulty = Field(1.0, description="Difficulty of a new connection.")
    minimum_difficulty: Difficulty = Field(0.001, description="No connection goes below.")
    maximum_difficulty: Difficulty = Field(1_000_000.0, description="No connection goes above.")
    share_interval_s: Seconds = Field(4.0, description="Seconds between a connection's shares that vardiff aims at.")
    vardiff: bool = Field(True, description="Adjust each connection's difficulty to its hashrate.")
    cap_max_shares_per_min: int = Field(
        60,
        ge=1,
        le=6000,
        description="A connection's difficulty stays at or below its job's easiest chain, so that no block of that "
        "chain is lost, unless it would then send more shares a minute than this.",
    )
    extranonce2_size: Literal[4, 8] = Field(
        4, description="Bytes of extranonce2; rental markets ask for 8, which takes 13 bytes from the coinbase's 100."
    )
    ack: Literal["memory", "spool"] = Field(
        "spool",
        description="When an accepted share is answered: `spool` once it is on disk, `memory` at once. A crash takes "
        "the last milliseconds of shares that `memory` has answered; found blocks are as safe either way.",
    )

    scheme: PortScheme | None = Field(
        None,
        description="How this port's shares are rewarded: one scheme for every chain, or a mapping of chains to "
        "schemes. Default: each chain's own.",
    )
    drain_to: HostPort | None = Field(
        None,
        description="Where this port's miners are sent when the pool is drained, `HOST:PORT` as they reach it. "
        "Default: they are asked to connect again, and find another process at the same place, or their next pool.",
    )
    tls: TlsSection | None = Field(None, description="TLS, for `stratum+ssl://`. Default: none.")
    proxy_protocol_from: Annotated[tuple[NetworkText, ...], BeforeValidator(as_tuple)] = Field(
        (),
        max_length=64,
        description="Addresses or networks of proxies in front of this port, such as HAProxy with `send-proxy-v2`: who "
        "connects from there has to begin with a PROXY header, and all limits count the address in it. Others connect "
        "as ever; no header of theirs is believed.",
    )

    @property
    def url(self) -> str:
        """What miners connect to."""
        return self.public_url or f"stratum+{'tcp' if self.tls is None else 'ssl'}://{self.bind}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return parse_bind(self.bind)


class LimitsSection(Section):
    """What a stranger on a Stratum port may use up: the names and defaults of stratum/limits.py, which says where each
    number comes from."""

    line_bytes: int = Field(4096, ge=1024, le=65_536, description="Length of one request.")
    unparsed_bytes: int = Field(16_384, ge=2048, le=1_048_576, description="Bytes waiting to become requests.")
    messages_per_read: int = Field(32, ge=1, le=4096, description="Requests answered before others have their turn.")
    fast_ratio: float = Field(
        10.0,
        gt=1,
        le=1e6,
        allow_inf_nan=False,
        description="Requests a second, as a multiple of the rate that the port aims at, at which a connection's "
        "difficulty rises before the next job",
    )
    fast_s: Seconds = Field(10.0, description="when they have lasted so long.")
    flood_per_s: float = Field(
        50.0,
        gt=0,
        le=1e9,
        allow_inf_nan=False,
        description="Requests a second at which a connection ends (never less than `fast_ratio` times what its port "
        "allows)",
    )
    flood_s: Seconds = Field(10.0, description="when they have lasted so long.")
    malformed_lines: int = Field(8, ge=1, le=4096, description="Lines that are no request, until the connection ends.")
    unsent_bytes: int = Field(262_144, ge=4096, le=2**26, description="Bytes that a slow reader left unread.")
    unsent_progress_s: Seconds = Field(30.0, description="Time for which a reader may take nothing of what waits.")
    closing_s: Seconds = Field(5.0, description="Time for a last answer to leave.")
    first_line_s: Seconds = Field(10.0, description="Time until the first proper request.")
    authorize_s: Seconds = Field(30.0, description="Time until a login.")
    idle_s: Seconds = Field(600.0, description="Time without any request.")
    no_valid_share_s: Seconds = Field(7200.0, description="Time without an accepted share.")
    workers_per_connection: int = Field(256, ge=1, le=65_536, description="Logins of one connection.")
    authorizes_per_connection: int = Field(1024, ge=1, le=2**20, description="Login requests of one connection.")
    refused_authorizes_free: int = Field(3, ge=0, le=1000, description="Refused logins without a waiting time.")
    refused_backoff_s: Seconds = Field(3.0, description="Wait after the next refused login; doubles each time,")
    refused_backoff_maximum_s: Seconds = Field(60.0, description="up to this.")
    invalid_run_shares: float = Field(
        5.0, gt=0, le=1e6, allow_inf_nan=False, description="Invalid shares in a row until their ladder begins:"
    )
    invalid_fresh_job_s: Seconds = Field(60.0, description="after so long the job is sent again,")
    invalid_reconnect_s: Seconds = Field(120.0, description="the miner is asked to reconnect,")
    invalid_drop_s: Seconds = Field(180.0, description="and the connection ends.")
    ban_shares: int = Field(200, ge=1, le=2**20, description="Shares until their invalid part may lead to a ban.")
    ban_invalid_fraction: float = Field(
        0.5, gt=0, le=1, allow_inf_nan=False, description="Invalid part of the shares that leads to a ban."
    )
    ban_s: Seconds = Field(600.0, description="Length of a ban.")
    connections_total: int = Field(20_000, ge=1, le=2**20, description="Open connections in all.")
    connections_per_address: int = Field(
        1024, ge=1, le=2**20, description="Open connections of one address; an IPv6 network /64 counts as one."
    )
    accepts_per_address_per_s: float = Field(
        20.0, gt=0, le=1e6, allow_inf_nan=False, description="New connections a second of one address."
    )
    logins_per_address_per_s: float = Field(
        60.0, gt=0, le=1e6, allow_inf_nan=False, description="Logins a second of one address; five times that at once."
    )
    workers_per_address: int = Field(8192, ge=1, le=2**24, description="Logins of one address's open connections.")
    accepts_per_s: float = Field(200.0, gt=0, le=1e6, allow_inf_nan=False, description="New connections a second.")
    addresses_remembered: int = Field(65_536, ge=16, le=2**24, description="Addresses whose connections are counted.")
    exempt_loopback: bool = Field(False, description="No limit by address, ban or flood for 127.0.0.0/8 (a proxy).")
    reoffer_interval_s: Seconds = Field(2.0, description="A job is sent again for a new difficulty at most so often.")
    transactions_bytes: int = Field(131_072, ge=0, le=2**26, description="Size of a mining.get_transactions answer.")
    transactions_interval_s: Seconds = Field(10.0, description="Time between two such answers.")
    login_bytes: int = Field(512, ge=64, le=512, description="Length of a login.")


class StratumSection(Section):
    """The miners' side."""

    ports: Annotated[tuple[PortSection, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1, description="The ports to listen on, each with its own difficulties."
    )
    limits: LimitsSection = Field(LimitsSection(), description="Limits of connections and requests.")
    processes: int = Field(
        1,
        ge=1,
        le=16,
        description="Processes that serve miners, on the same ports: one a processor core, when one is not enough. 1: "
        "the pool's own process does it. With 2 or more it starts that many beside itself "
        "(docs/operating/scale-out.md#several-processes-on-one-machine); what `limits` count, each counts for itself.",
    )
    handover_s: Seconds = Field(
        300.0,
        description="Seconds over which miners are moved from the old processes to the new ones at a graceful restart "
        "(SIGUSR2, with `processes` 2 or more).",
    )
