"""What every chain's section has, whatever its kind: nodes, rewards, and the keys common to all kinds.

Like the rest of the shape (pool/config/models.py) it is printed as the reference page.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from chains.families import FAMILIES
from chains.families import network as network_of
from chains.kind import Network
from pool.config.payouts import Payouts
from pool.config.section import Section
from pool.config.values import (
    ExactNumber,
    FeePpm,
    FilePath,
    NodeUrl,
    PlainText,
    Seconds,
    ZmqAddress,
    as_tuple,
)
from pool.shares.scheme import Scheme

FAMILY_NAMES = ", ".join(f"`{name}`" for name in FAMILIES)


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


class CommonChain(Section):
    """The keys that chains of every kind have."""

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
        (),
        description="The chain's nodes, the preferred one first: one at least, but where `transport.jobs` is `follow`.",
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
    def chain_network(self) -> Network:
        """The network that the chain is of."""
        return network_of(self.family, self.network)

    @property
    def credit_maturity(self) -> int:
        """The confirmations from which a block's credits are available. Where the chain pays, what is available can be
        paid: never before the wallet would spend the coins.
        """
        least = self.chain_network.wallet_maturity
        own = self.maturity or least
        return own if self.payouts is None else max(own, least)
