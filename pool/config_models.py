"""The configuration's shape: every section, key, default and limit, with the words of the reference page.

docs/reference/configuration.md is printed from these models (`pool check-config --reference`). Rules that look at more
than one key are in pool/config_checks.py and pool/config_chain_checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from chains.auxpow.params import DIALECTS, Dialect
from chains.families import FAMILIES
from chains.families import network as network_of
from pool.config_http import HttpSection as HttpSection
from pool.config_notifications import NotificationSection
from pool.config_operator import OperatorSection
from pool.config_payouts import Payouts
from pool.config_roles import KEEPING, PAYING, SERVING, Role
from pool.config_section import Section as Section
from pool.config_stratum import LimitsSection as LimitsSection
from pool.config_stratum import PortSection as PortSection
from pool.config_stratum import StratumSection as StratumSection
from pool.config_transport import BooksSection, FrontEndName, TransportSection
from pool.config_values import (
    DIALECT_KEYS,
    ChainName,
    ContextName,
    DialectName,
    ExactNumber,
    FeePpm,
    FilePath,
    NodeUrl,
    PlainText,
    Seconds,
    Tag,
    ZmqAddress,
    as_tuple,
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

    include: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        (),
        description="Further files of this configuration, or patterns such as `chains/*.yaml`: seen from the folder of "
        "the file that names them (docs/operating/changing.md#several-files).",
    )
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
    operator: OperatorSection | None = Field(None, description="The operator's own port. Default: none.")
    books: BooksSection = Field(BooksSection(), description="How long shares are kept.")
    parent: ChainName = Field(description="Name of the chain whose blocks are mined; its kind is `bitcoin`.")
    chains: dict[ChainName, ChainSection] = Field(min_length=1, description="All chains by name, the parent too.")

    _values: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def values(self) -> Mapping[str, Any]:
        """What it was made of, the overrides included: `Config.made_of(values)` makes it again elsewhere. It holds
        secrets."""
        return self._values

    @classmethod
    def made_of(cls, values: Mapping[str, Any]) -> Config:
        """Raises pydantic.ValidationError."""
        config = cls.model_validate(values)
        config._values = values
        return config

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
