"""What a new configuration changes in a running pool, and what it may not: said before anything changes.

Chains come, go and change; fees, difficulties, schemes and addresses change. What files, ports and names rest on, and
what a chain is, needs a restart: then nothing of the new configuration is taken. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pool.config.bk_chain import BkChain
from pool.config.chains import ChainSection
from pool.config.models import Config, PortSection
from pool.config.parallel_chain import ParallelChain

FIXED = ("http", "operator", "transport", "log", "notifications", "miner_notices", "books", "parent")
FIXED_OF_POOL = ("name", "data_dir", "database_url", "front_end", "role")
# What a chain is. Another one under the same name would inherit the books of this one.
FIXED_OF_CHAIN = (
    "kind", "family", "network", "context_name", "chain_id", "network_name", "chain_name", "genesis", "hrp",
)  # fmt: skip
FIXED_OF_PORT = ("extranonce2_size", "ack", "tls", "proxy_protocol_from")
# What its nodes are asked, or asked for. A change of anything else leaves the chain's work as it is.
OF_THE_NODES = (
    "address", "former_addresses", "nodes", "dialect", "poll_interval_s", "away_s", "longpoll", "leader_key_file",
    "waits_for_bodies", "maturity_blocks",
)  # fmt: skip
# What its payer was opened with.
OF_THE_PAYER = ("payouts", "nodes", "address", "former_addresses", "maturity", "maturity_blocks")


class ReloadRefusedError(ValueError):
    """A configuration that a running pool cannot take; `lines` has one sentence for each key."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Reload:
    """`added` and `removed` chains, `renewed` ones whose nodes are asked anew, `repaid` ones that need another payer or
    none; and the keys that changed, for people: a value may be a secret and is not among them.
    """

    new: Config
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renewed: tuple[str, ...]
    repaid: tuple[str, ...]
    keys: tuple[str, ...]

    def __str__(self) -> str:
        """What changes, in one line."""
        parts = [("added", self.added), ("removed", self.removed), ("changed", self.keys)]
        return " ".join(f"{word}={','.join(names)}" for word, names in parts if names) or "nothing changed"


def reload_between(old: Config, new: Config) -> Reload:
    """What leads from one configuration to the other. Raises ReloadRefusedError."""
    refused = list(_refusals(old, new))
    if refused:
        raise ReloadRefusedError(refused)
    both = [name for name in new.chains if name in old.chains]
    keys = [f"pool.{key}" for key in _differing(old.pool, new.pool)]
    ports = {port.bind: port for port in old.stratum.ports}
    for number, port in enumerate(new.stratum.ports):
        keys += [f"stratum.ports.{number}.{key}" for key in _differing(ports[port.bind], port)]
    for name in both:
        keys += [f"chains.{name}.{key}" for key in _differing(old.chains[name], new.chains[name])]
    if [name for name in old.chains if name in new.chains] != both:
        keys.append("the order of the chains")
    return Reload(
        new=new,
        added=tuple(name for name in new.chains if name not in old.chains),
        removed=tuple(name for name in old.chains if name not in new.chains),
        renewed=_renewed(old, new, both),
        repaid=tuple(name for name in {**old.chains, **new.chains} if _needs_another_payer(old, new, name)),
        keys=tuple(keys),
    )


def _renewed(old: Config, new: Config, both: list[str]) -> tuple[str, ...]:
    """Those whose nodes are asked for something else than before: by their own sections, or because another chain of
    the network that they share nodes with came, went or changed."""
    asked_anew = {name for name in both if _asks_anew(old.chains[name], new.chains[name])}
    changed = asked_anew | (old.chains.keys() ^ new.chains.keys())
    networks = {_shared_network({**old.chains, **new.chains}[name]) for name in changed} - {None}
    return tuple(name for name in both if name in asked_anew or _shared_network(new.chains[name]) in networks)


def _shared_network(chain: ChainSection) -> str | None:
    return chain.network_name if isinstance(chain, ParallelChain) else None


def _asks_anew(old: ChainSection, new: ChainSection) -> bool:
    """Nodes of our own kinds are held to the maturity as well."""
    keys = (*OF_THE_NODES, "maturity") if isinstance(new, BkChain | ParallelChain) else OF_THE_NODES
    return any(key in keys for key in _differing(old, new))


def _needs_another_payer(old: Config, new: Config, name: str) -> bool:
    before, after = old.chains.get(name), new.chains.get(name)
    if all(chain is None or chain.payouts is None for chain in (before, after)):
        return False
    if before is None or after is None:
        return True
    return any(key in OF_THE_PAYER for key in _differing(before, after))


def _refusals(old: Config, new: Config) -> Iterator[str]:
    for key in _differing(old, new):
        if key in FIXED:
            yield f"{key}: a change needs a restart"
    for key in _differing(old.pool, new.pool):
        if key in FIXED_OF_POOL:
            yield f"pool.{key}: a change needs a restart"
    if old.stratum.limits != new.stratum.limits:
        yield "stratum.limits: a change needs a restart"
    if old.stratum.processes != new.stratum.processes:
        yield "stratum.processes: a change needs a restart"
    yield from _port_refusals(old.stratum.ports, new.stratum.ports)
    for name, chain in new.chains.items():
        before = old.chains.get(name)
        if before is None:
            continue
        for key in _differing(before, chain):
            if key in FIXED_OF_CHAIN:
                yield f"chains.{name}.{key}: that is another chain; give it another name"
        if before.address not in (chain.address, *chain.former_addresses):
            yield f"chains.{name}.address: put {before.address} into former_addresses, blocks on their way pay it"


def _port_refusals(old: tuple[PortSection, ...], new: tuple[PortSection, ...]) -> Iterator[str]:
    before, after = ({port.bind: port for port in ports} for ports in (old, new))
    for bind in sorted(before.keys() ^ after.keys()):
        yield f"stratum.ports: {bind}: opening or closing a port needs a restart"
    for bind in before.keys() & after.keys():
        for key in _differing(before[bind], after[bind]):
            if key in FIXED_OF_PORT:
                yield f"stratum.ports: {bind}: a change of {key} needs a restart"


def _differing(old: Any, new: Any) -> list[str]:
    """The keys that differ in two sections; those that only one of them has, too."""
    names = dict.fromkeys((*type(old).model_fields, *type(new).model_fields))
    missing = object()
    return [name for name in names if getattr(old, name, missing) != getattr(new, name, missing)]
