"""The configuration's shape: every section, key, default and limit, with the words of the reference page.

docs/reference/configuration.md is printed from these models (`pool check-config --reference`). Rules that look at more
than one key are in pool/config/checks.py and pool/config/chain_checks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr

from chains.families import FAMILIES
from pool.config.chains import AuxSection, BitcoinChain, ChainSection
from pool.config.http import HttpSection as HttpSection
from pool.config.miner_notices import MinerNoticesSection
from pool.config.notifications import NotificationSection
from pool.config.operator import OperatorSection
from pool.config.roles import KEEPING, PAYING, SERVING, Role
from pool.config.section import Section as Section
from pool.config.stratum import LimitsSection as LimitsSection
from pool.config.stratum import PortSection as PortSection
from pool.config.stratum import StratumSection as StratumSection
from pool.config.transport import BooksSection, FrontEndName, TransportSection
from pool.config.values import (
    ChainName,
    FeePpm,
    FilePath,
    PlainText,
    Tag,
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


class LogSection(Section):
    """The log, on standard error; what each line means: docs/operating/log.md."""

    format: Literal["human", "json"] = Field(
        "human", description="Lines for people, or a JSON object per line (`time`, `level`, `area`, `text`, `trace`)."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is written. Alarms are errors."
    )


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
    miner_notices: MinerNoticesSection | None = Field(
        None, description="Notices to miners whose workers are silent, on their own request. Default: none are sent."
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
    def aux_chains(self) -> dict[str, AuxSection]:
        """The auxiliary chains by name, in the file's order."""
        return {name: chain for name, chain in self.chains.items() if not isinstance(chain, BitcoinChain)}

    @property
    def leads(self) -> bool:
        """Whether votes of chains that have them name this process's key, and it leads their blocks: whoever makes
        jobs for miners."""
        return self.transport.jobs == "publish" or (self.pool.serves and self.transport.jobs == "own")

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
