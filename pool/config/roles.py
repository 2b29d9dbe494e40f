"""What a process of a pool does: everything, or one of the parts that need different rights.

Only `payout` (and `all`) opens a wallet or reads what opens one; `stratum` needs no database, `web` neither nodes nor
wallet nor Redis. docs/operating/scale-out.md tells which process needs what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

RoleName = Literal["all", "stratum", "accountant", "payout", "web"]
ROLE_NAMES: tuple[RoleName, ...] = ("all", "stratum", "accountant", "payout", "web")
# The words of earlier versions; an accountant paid as well then.
FORMER_NAMES = {"both": "all", "frontend": "stratum"}


def present_name(value: Any) -> Any:
    """A role's name as it is called now."""
    return FORMER_NAMES.get(value, value) if isinstance(value, str) else value


Role = Annotated[RoleName, BeforeValidator(present_name)]

SERVING = frozenset({"all", "stratum"})
KEEPING = frozenset({"all", "accountant"})
PAYING = frozenset({"all", "payout"})
MINING = SERVING | KEEPING  # these follow the chains by their nodes


def role_in(values: Mapping[str, Any]) -> Any:
    """The role that a file names, whatever stands there."""
    pool = values.get("pool")
    return present_name(pool.get("role", "all")) if isinstance(pool, Mapping) else "all"


def role_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """A process that only reads or pays works on the books of another one, which it has to be told of."""
    role = role_in(values)
    if role not in ("payout", "web"):
        return
    pool = values["pool"]
    if pool.get("database_url") is None:
        yield ("pool", "role"), f"expected pool.database_url beside it: {role} works with the books of another process"
    chains = values.get("chains")
    sections = chains.values() if isinstance(chains, Mapping) else ()
    pays = any(isinstance(chain, Mapping) and chain.get("payouts") is not None for chain in sections)
    if role == "payout" and not pays:
        yield ("pool", "role"), "expected a section payouts in one of the chains: nobody is paid without"
