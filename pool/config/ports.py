"""How miners reach a Stratum port: TLS, and proxies in front that say who is behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pool.config.roles import SERVING, role_in
from pool.config.secret_files import open_to_all
from pool.config.section import Section
from pool.config.values import FilePath


def _check_network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("expected an address or a network, such as 10.0.0.5 or 10.0.0.0/24") from None


NetworkText = Annotated[str, AfterValidator(_check_network)]


class TlsSection(Section):
    """TLS at a port: miners connect with `stratum+ssl://`. The files are read again at every reload."""

    certificate_file: FilePath = Field(description="The certificate and those it was signed by, PEM.")
    key_file: FilePath = Field(description="Its key, PEM, without a password; not for everybody on the machine.")


def tls_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Files that a process that listens for miners cannot use."""
    stratum = values.get("stratum")
    ports = stratum.get("ports") if isinstance(stratum, Mapping) else None
    if role_in(values) not in SERVING:
        return
    for place, port in enumerate(ports if isinstance(ports, list) else ()):
        tls = port.get("tls") if isinstance(port, Mapping) else None
        if not isinstance(tls, Mapping):
            continue
        for key in ("certificate_file", "key_file"):
            value = tls.get(key)
            if isinstance(value, str) and value and "\x00" not in value:
                problem = _problem(Path(value), secret=key == "key_file")
                if problem is not None:
                    yield ("stratum", "ports", place, "tls", key), problem


def _problem(path: Path, *, secret: bool) -> str | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return f"expected a readable file: {error.strerror or error}"
    return open_to_all(path) if secret else None
