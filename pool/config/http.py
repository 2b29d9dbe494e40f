"""The configuration of the HTTP port: who may ask how often, and what strangers see of a block's split."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pool.config.section import Section
from pool.config.values import Bind, FilePath, as_tuple, parse_bind


def _check_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("expected an IP address, such as 127.0.0.1 or ::1") from None


IpAddress = Annotated[str, AfterValidator(_check_address)]


class HttpLimitsSection(Section):
    """How often one client may ask; `/healthz`, `/metrics` and the pages' style and script are not counted."""

    requests_burst: int = Field(
        60, ge=1, le=1_000_000, description="Requests of one client at once; an IPv6 network /64 counts as one client."
    )
    requests_per_s: float = Field(
        5.0, gt=0, le=1e6, allow_inf_nan=False, description="Requests of one client a second after that."
    )
    clients_remembered: int = Field(
        4096, ge=16, le=2**20, description="Clients counted at a time; the one that asked longest ago is forgotten."
    )
    exempt_loopback: bool = Field(
        True, description="No limit for 127.0.0.0/8 and ::1, unless a proxy there names its client (`forwarded_from`)."
    )


class HttpSection(Section):
    """The pages, the HTTP API and metrics."""

    bind: Bind = Field(description="Address and port to listen on.")
    public_credits: Literal["address", "pseudonym"] = Field(
        "address",
        description="Whose name stands at a part of a block's reward: the miner's address, or a pseudonym, another one "
        "on each chain, which only the page of the address itself tells.",
    )
    pseudonym_key_file: FilePath | None = Field(
        None,
        description="File with the secret that pseudonyms are made with, 64 hex digits; processes of one pool need the "
        "same. Default: `pseudonym.key` in `data_dir`, made when missing.",
    )
    forwarded_from: Annotated[tuple[IpAddress, ...], BeforeValidator(as_tuple)] = Field(
        (),
        max_length=64,
        description="Addresses of web servers in front of this port, whose `X-Forwarded-For` names the client.",
    )
    limits: HttpLimitsSection = Field(HttpLimitsSection(), description="How often one client may ask.")

    @property
    def address(self) -> tuple[str, int]:
        return parse_bind(self.bind)
