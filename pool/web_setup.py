"""From a configuration to what the web port is told: limits, names in splits, what miners connect to."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from pool.config.configuration import Config, PortSection
from pool.config.values import parse_bind
from pool.data_dir import StartError
from pool.payout_setup import paying_chains
from pool.shares.scheme import Scheme
from pool.web.options import ClientLimits, PayoutRule, PortOffer, WebOptions
from pool.web.pseudonyms import Pseudonyms

KEY_BYTES = 32
_KEY = re.compile(r"[0-9a-fA-F]{64}")
ANY_ADDRESS = frozenset({"0.0.0.0", "::"})


def web_options(config: Config) -> WebOptions:
    """Raises StartError or OSError when the pseudonyms' secret cannot be had."""
    limits = config.http.limits
    return WebOptions(
        limits=ClientLimits(
            burst=limits.requests_burst,
            per_s=limits.requests_per_s,
            clients=limits.clients_remembered,
            exempt_loopback=limits.exempt_loopback,
            forwarded_from=frozenset(config.http.forwarded_from),
        ),
        pseudonyms=Pseudonyms(_pseudonym_key(config)) if config.http.public_credits == "pseudonym" else None,
        # An accountant listens on none of them; pages apart from the miners' ports tell where those are.
        ports=tuple(port_offer(port, config.port_schemes(port)) for port in config.stratum.ports)
        if config.pool.serves or config.pool.role == "web"
        else (),
        payouts={
            name: PayoutRule(section.minimum_payout, section.interval_s * 1000)
            for name, section in paying_chains(config).items()
        },
    )


def port_offer(port: PortSection, schemes: Mapping[str, Scheme]) -> PortOffer:
    """A port as miners are told of it; one that listens on every address is known by the page's own name."""
    protocol, _, place = port.url.partition("://")
    host, number = parse_bind(place)
    return PortOffer(
        protocol=protocol,
        host=None if host in ANY_ADDRESS else host,
        port=number,
        start_difficulty=port.start_difficulty,
        minimum_difficulty=port.minimum_difficulty,
        maximum_difficulty=port.maximum_difficulty,
        extranonce2_size=port.extranonce2_size,
        schemes=dict(schemes),
    )


def _pseudonym_key(config: Config) -> bytes:
    given = config.http.pseudonym_key_file
    if given is not None:
        return _read_key(given)
    path = config.pool.data_dir / "pseudonym.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    if path.stat().st_mode & 0o007:
        raise StartError(f"{path} holds a secret and everybody may read it: chmod 600 {path}")
    text = path.read_text("ascii", "replace").strip()
    if not _KEY.fullmatch(text):
        raise StartError(f"{path}: expected 64 hex digits, such as `openssl rand -hex 32` prints")
    return bytes.fromhex(text)
