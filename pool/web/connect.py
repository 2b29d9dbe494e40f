"""What a miner's owner types to connect: addresses of the ports, user name and password arguments, ready to copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pool.web.api import ChainStatus
from pool.web.options import PortOffer

_HOST = re.compile(r"(?i)(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::[0-9]{1,5})?")


def page_host(host_header: str | None) -> str | None:
    """The name under which a page was asked for, without its port; None for anything that is no name."""
    match = _HOST.fullmatch(host_header or "")
    return None if match is None else match[1]


def port_lines(ports: Sequence[PortOffer], host_header: str | None) -> list[dict[str, Any]]:
    """The ports as the page shows them, each with the address to copy."""
    here = page_host(host_header) or "POOL"
    return [
        {
            "url": f"{port.protocol}://{_bracketed(port.host or here)}:{port.port}",
            "encrypted": port.protocol.endswith("ssl"),
            "start_difficulty": port.start_difficulty,
            "minimum_difficulty": port.minimum_difficulty,
            "maximum_difficulty": port.maximum_difficulty,
            "extranonce2_size": port.extranonce2_size,
            "schemes": _schemes(port),
        }
        for port in ports
    ]


def user_names(parent: str, chains: Sequence[ChainStatus]) -> dict[str, str]:
    """Examples: the least, and with an address for every auxiliary chain."""
    own = f"YOUR_{_word(parent)}_ADDRESS"
    others = "".join(f"+{chain.name}=YOUR_{_word(chain.name)}_ADDRESS" for chain in chains if chain.name != parent)
    return {"least": f"{own}.WORKER", "all": f"{own}{others}.WORKER"}


def _word(name: str) -> str:
    return name.upper().replace("-", "_")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _schemes(port: PortOffer) -> str:
    names = sorted(set(port.schemes.values()))
    if len(names) == 1:
        return names[0].upper()
    return ", ".join(f"{chain}: {scheme.upper()}" for chain, scheme in sorted(port.schemes.items()))
