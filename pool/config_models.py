"""The configuration's shape: every section, key, default and limit, with the words of the reference page.

docs/reference/configuration.md is printed from these models (`pool check-config --reference`). Rules that look at more
than one key are in pool/config_checks.py and pool/config_chain_checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from chains.auxpow.params import DIALECTS, Dialect
from chains.families import FAMILIES
from chains.families import network as network_of
from pool.config_http import HttpSection as HttpSection
from pool.config_notifications import NotificationSection
from pool.config_payouts import Payouts
from pool.config_ports import NetworkText, TlsSection
from pool.config_roles import KEEPING, PAYING, SERVING, Role
from pool.config_section import Section as Section
from pool.config_transport import BooksSection, FrontEndName, TransportSection
from pool.config_values import (
    DIALECT_KEYS,
    Bind,
    ChainName,
    ContextName,
    DialectName,
    Difficulty,
    ExactNumber,
    FeePpm,
    FilePath,
    NodeUrl,
    PlainText,
    PortScheme,
    Seconds,
    StratumUrl,
    Tag,
    ZmqAddress,
    as_tuple,
    parse_bind,
)
from pool.shares.scheme import PER_SHARE, Scheme

_FAMILY_NAMES = ", ".join(f"`{name}`" for name in FAMILIES)


class PoolSection(Section):
    """The pool itself."""

    name: PlainText = Field(
        "parapool",
        max_length=64,
        description="The pool's name on the status page, in logs and in the books: keep it for the life of `data_dir`; "
        "processes that share a database need different ones.",
    )
    data_dir: FilePath = Field(
        description="Folder of the share log, solution records and the default database; made when missing. Relative "
        "paths count from the working directory, here and in every other key."
    )
    fee_ppm: FeePpm = Field(0, description="The pool's fee in parts per million of each block's reward; 10000 is 1 %.")
    tag: Tag = Field(
        "/parapool/", description="Text in every coinbase. Height, merged-mining header and tag share 100 bytes."
    )
    database_url: SecretStr | None = Field(
        None,
        description="The database: `postgresql+psycopg://USER:PASSWORD@HOST/NAME` or `sqlite:///FILE`. Default: "
        "SQLite in `data_dir`.",
    )
    front_end: FrontEndName = Field(
        "main",
        description="This process's name among those of one pool: each needs its own, for the life of its `data_dir`.",
    )
    role: Role = Field(
        "all",
        description="What this process does: serve miners (`stratum`, needs no database), keep the books "
        "(`accountant`), pay from the wallets (`payout`), show the books (`web`), or all of it. `pool run --role` "
        "says it too. docs/operating/scale-out.md.",
    )

    @property
    def serves(self) -> bool:
        """Whether this process listens for miners."""
        return self.role in SERVING

    @property
    def keeps_books(self) -> bool:
        """Whether this process follows blocks and credits them."""
        return self.role in KEEPING

    @property
    def pays(self) -> bool:
        """Whether this process may open a wallet, or read what opens one."""
        return self.role in PAYING

    @property
    def log_name(self) -> str:
        """The name of this process's share log in the books: the pool's, unless it is a further front end."""
        return self.name if self.front_end == "main" else f"{self.name}/{self.front_end}"


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


class NodeSection(Section):
    """One node of a chain. With several, work comes from the first good one and blocks go to all."""

    url: NodeUrl = Field(description="The JSON-RPC address, `http://HOST:PORT`.")
    user: Annotated[str, Field(max_length=256)] | None = Field(None, description="RPC user.")
    password: SecretStr | None = Field(None, description="RPC password; better in a file.")
    password_file: FilePath | None = Field(None, description="File whose first line is the RPC password.")
    cookie_file: FilePath | None = Field(
        None, description="The node's `.cookie` file instead of user and password; read again whenever it changes."
    )
    zmq_hashblock: ZmqAddress | None = Field(
        None, description="The node's ZMQ `hashblock` address: a hint that brings new blocks sooner."
    )

    def read_password(self) -> str | None:
        """The password, out of its file when it has one (first line, without the line end). Raises OSError or
        UnicodeDecodeError when the file cannot be read."""
        if self.password_file is not None:
            return self.password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
        return self.password.get_secret_value() if self.password is not None else None


class PplnsSection(Section):
    """How far back a block's reward is shared."""

    factor: ExactNumber = Field(
        Fraction(2), description="The window spans this many times the work of the found block's target."
    )
    window_min_s: int = Field(3600, ge=0, le=30 * 86_400, description="The window spans at least so many seconds.")


class PpsSection(Section):
    """Shares bought by the operator: what the chain needs where its scheme, or a port's for it, is `pps` or `fpps`."""

    minimum_reserve: int = Field(
        ge=1,
        le=2**62,
        description="In smallest units. When the operator's available money less what shares have earned already is "
        "below this, new jobs count for PPLNS.",
    )
    resume_reserve: int | None = Field(
        None, ge=1, le=2**62, description="Shares are bought again from here on. Default: twice `minimum_reserve`."
    )
    fee_ppm: FeePpm | None = Field(
        None, description="The fee off what a bought share is worth. Default: the chain's `fee_ppm`."
    )
    credit_interval_s: int = Field(
        3600, ge=1, le=86_400, description="What shares have earned is credited at the turn of every such interval."
    )

    @property
    def resume(self) -> int:
        """Where buying begins again, not below the minimum."""
        return 2 * self.minimum_reserve if self.resume_reserve is None else self.resume_reserve


def network_name_of(chain: Mapping[str, Any], default_family: str) -> Any:
    """The network that a chain's section names, or the default: main, or regtest for a family without main."""
    family = chain.get("family", default_family)
    only_regtest = isinstance(family, str) and "main" not in FAMILIES.get(family, {"main": None})
    return chain.get("network", "regtest" if only_regtest else "main")


class LogSection(Section):
    """The log, on standard error; what each line means: docs/operating/log.md."""

    format: Literal["human", "json"] = Field(
        "human", description="Lines for people, or a JSON object per line (`time`, `level`, `area`, `text`, `trace`)."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is written. Alarms are errors."
    )


class _Chain(Section):
    if TYPE_CHECKING:  # each kind has its own default
        family: str

    network: Literal["main", "test", "regtest"] = Field(
        "main", description="Network of the chain. Default for the families `devnet` and `devnet-scrypt`: regtest."
    )
    address: PlainText = Field(description="Address that this chain's rewards are paid to.")
    former_addresses: Annotated[tuple[PlainText, ...], BeforeValidator(as_tuple)] = Field(
        (),
        description="Addresses that `address` had before: what blocks found then paid them is the pool's income as "
        "well. Put the old one here when you change `address`.",
    )
    nodes: Annotated[tuple[NodeSection, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1, description="The chain's nodes, the preferred one first."
    )
    scheme: Scheme = Field(
        "pplns",
        description="How shares are rewarded: by the blocks of a window of shares, by the blocks they solve, or bought "
        "one by one for the subsidy, or for subsidy and mean fees (docs/reference/schemes.md).",
    )
    pplns: PplnsSection = Field(PplnsSection(), description="The window of shares that a block pays.")
    pps: PpsSection | None = Field(None, description="What shares are bought from, where they are.")
    fee_ppm: FeePpm | None = Field(None, description="The pool's fee on this chain. Default: `pool.fee_ppm`.")
    maturity: int | None = Field(
        None, ge=1, le=100_000, description="Confirmations of a block from which its credits are available. Default, "
        "and the least where there is a section `payouts`: those from which a wallet spends its coins, one more than "
        "the network asks (101 on Bitcoin).",
    )
    notify: Literal["off", "new_job", "clean"] = Field(
        "new_job",
        description="What miners get for a new block of this auxiliary chain: nothing until the next job, a job, or a "
        "job that throws the old ones away.",
    )
    payouts: Payouts = None
    poll_interval_s: Seconds = Field(1.0, description="Seconds between two questions for new work.")
    away_s: Seconds = Field(60.0, description="The chain leaves the job so long after its last good template.")

    @model_validator(mode="before")
    @classmethod
    def _default_network(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {**values, "network": network_name_of(values, cls.model_fields["family"].default)}

    @property
    def credit_maturity(self) -> int:
        """The confirmations from which a block's credits are available. Where the chain pays, what is available can be
        paid: never before the wallet would spend the coins.
        """
        least = network_of(self.family, self.network).wallet_maturity
        own = self.maturity or least
        return own if self.payouts is None else max(own, least)


class BitcoinChain(_Chain):
    """A chain with `getblocktemplate`: the parent."""

    kind: Literal["bitcoin"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("bitcoin", description=f"Whose address prefixes and proof of work: {_FAMILY_NAMES}.")
    longpoll: bool = Field(True, description="Let the node say when its template changes.")


class AuxpowChain(_Chain):
    """A merged-mined chain with `createauxblock` and `submitauxblock`, or `getauxblock` (MM1, AuxPoW)."""

    kind: Literal["auxpow"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("namecoin", description=f"Whose address prefixes and proof of work: {_FAMILY_NAMES}.")
    dialect: DialectName = Field(
        "namecoin",
        description="The words of the node's RPC: `namecoin`, `dogecoin`, or a mapping of those that differ from "
        "Namecoin's: " + ", ".join(f"`{name}`" for name in DIALECT_KEYS) + ".",
    )
    chain_id: int | None = Field(
        None, ge=0, le=0x7FFF, description="The chain id the node must report. Two chains cannot share one."
    )

    def rpc_dialect(self) -> Dialect:
        """The dialect by its name, or Namecoin's with the words that the mapping replaces."""
        if isinstance(self.dialect, str):
            return DIALECTS[self.dialect]
        words: dict[str, Any] = dict(self.dialect)
        return Dialect(**words)


class Mm2Chain(_Chain):
    """A chain of Merged Mining 2 (docs/protocol/mm2.md)."""

    kind: Literal["mm2"] = Field(description="How its nodes are spoken to.")
    family: PlainText = Field("devnet", description=f"Whose address prefixes: {_FAMILY_NAMES}.")
    context_name: ContextName = Field(
        description="The chain's name whose double SHA-256 is its context, its place in the tree."
    )


ChainSection = Annotated[BitcoinChain | AuxpowChain | Mm2Chain, Field(discriminator="kind")]
CHAIN_KINDS: dict[str, type[BitcoinChain] | type[AuxpowChain] | type[Mm2Chain]] = {
    "bitcoin": BitcoinChain,
    "auxpow": AuxpowChain,
    "mm2": Mm2Chain,
}


class Config(Section):
    """One pool process: one parent chain, and auxiliary chains that share its proof-of-work hash."""

    pool: PoolSection = Field(description="The pool itself.")
    stratum: StratumSection = Field(description="The miners' side.")
    http: HttpSection = Field(description="HTTP API, status page and metrics.")
    transport: TransportSection = Field(
        TransportSection(), description="How shares get from front ends to the accountant."
    )
    log: LogSection = Field(LogSection(), description="How the log is written.")
    notifications: Annotated[tuple[NotificationSection, ...], BeforeValidator(as_tuple)] = Field(
        (), description="Places that are told of blocks, payouts and alarms."
    )
    books: BooksSection = Field(BooksSection(), description="How long shares are kept.")
    parent: ChainName = Field(description="Name of the chain whose blocks are mined; its kind is `bitcoin`.")
    chains: dict[ChainName, ChainSection] = Field(min_length=1, description="All chains by name, the parent too.")

    @property
    def parent_chain(self) -> BitcoinChain:
        chain = self.chains[self.parent]
        assert isinstance(chain, BitcoinChain), "load() admits no other parent"
        return chain

    @property
    def aux_chains(self) -> dict[str, AuxpowChain | Mm2Chain]:
        """The auxiliary chains by name, in the file's order."""
        return {name: chain for name, chain in self.chains.items() if not isinstance(chain, BitcoinChain)}

    def port_schemes(self, port: PortSection) -> dict[str, Scheme]:
        """The scheme of every chain at a port."""
        own = port.scheme
        if own is None or isinstance(own, Mapping):
            return {name: (own or {}).get(name, chain.scheme) for name, chain in self.chains.items()}
        return dict.fromkeys(self.chains, own)

    @property
    def bought_chains(self) -> list[str]:
        """The chains whose shares are bought at some port, in the file's order."""
        schemes = [self.port_schemes(port) for port in self.stratum.ports]
        return [name for name in self.chains if any(port[name] in PER_SHARE for port in schemes)]

    def pps_fee_ppm(self, chain_name: str) -> int:
        """The fee off bought shares of a chain: its own or that of its blocks."""
        section = self.chains[chain_name].pps
        own = None if section is None else section.fee_ppm
        return self.fee_ppm(chain_name) if own is None else own

    def fee_ppm(self, chain_name: str) -> int:
        """The fee on a chain: its own or the pool's."""
        own = self.chains[chain_name].fee_ppm
        return self.pool.fee_ppm if own is None else own

    def database_url(self) -> str:
        """The database's SQLAlchemy URL; by default SQLite in the data folder."""
        if self.pool.database_url is not None:
            return self.pool.database_url.get_secret_value()
        return f"sqlite:///{self.pool.data_dir.absolute() / 'pool.sqlite'}"
