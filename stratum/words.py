"""Reading the words of strangers: the login and the password that a miner's owner types, and the miner's own name.

login:    ADDRESS[+chain=ADDRESS2[+chain=ADDRESS3…]][.worker]
password: key=value[,key=value…]   separated by `,` or `;`; `d=…` asks for a difficulty, the rest is for the pool

Nothing here knows addresses or chains: that a chain exists and an address is right is the pool's to judge.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

LOGIN_BYTES = 512
WORKER_BYTES = 64
PASSWORD_WORDS = 64  # more cannot be meant; the line limit bounds the rest
PASSWORD_KEY_BYTES = 32
PASSWORD_VALUE_BYTES = 128
USER_AGENT_LETTERS = 128

# Letters that are harmless in logs, file names, SQL and metric labels alike (no blank, quote, slash, newline, escape).
_LOGIN = re.compile(r"[A-Za-z0-9._+=@:-]+")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?|\.[0-9]{1,20}")


class LoginError(ValueError):
    """The login cannot be read; the text is a sentence for the miner."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login taken apart: the parent chain's address, (chain, address) pairs in the order given, the worker's name."""

    parent: str
    extra: tuple[tuple[str, str], ...] = ()
    worker: str = ""


@dataclass(frozen=True, slots=True)
class PasswordArguments:
    """`difficulty` from `d=` (None when absent or not a positive number), every other `key=value` in `values`."""

    difficulty: float | None = None
    values: dict[str, str] = field(default_factory=dict)


def parse_login(text: str) -> Login:
    """Take a login apart; the worker is everything after the first dot. Raises LoginError."""
    if len(text) > LOGIN_BYTES or len(text.encode("utf-8", "surrogatepass")) > LOGIN_BYTES:
        raise LoginError(f"the login is longer than {LOGIN_BYTES} bytes")
    if not text:
        raise LoginError("the login is empty; expected ADDRESS or ADDRESS.worker")
    if _LOGIN.fullmatch(text) is None:
        raise LoginError("the login may hold only letters, digits and . _ + = @ : -")
    route, _, worker = text.partition(".")
    if len(worker) > WORKER_BYTES:
        raise LoginError(f"the worker name is longer than {WORKER_BYTES} bytes")
    parent, *pairs = route.split("+")
    if not parent or "=" in parent:
        raise LoginError("the login must begin with an address of the parent chain")
    extra: list[tuple[str, str]] = []
    seen: set[str] = set()
    for pair in pairs:
        chain, equals, address = pair.partition("=")
        if not chain or not equals or not address or "=" in address:
            raise LoginError("after a + the login must read chain=ADDRESS")
        if chain in seen:
            raise LoginError(f"the login names chain {chain} twice")
        seen.add(chain)
        extra.append((chain, address))
    return Login(parent, tuple(extra), worker)


def parse_difficulty(text: str) -> float | None:
    """A positive finite decimal number, or None."""
    if _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if value > 0.0 and math.isfinite(value) else None


def parse_user_agent(value: object) -> str:
    """What a miner calls itself, as it may stand in a log: printable ASCII, cut at its bound; empty for anything else
    than a text."""
    if type(value) is not str:
        return ""
    return "".join(letter for letter in value[:USER_AGENT_LETTERS] if " " <= letter <= "~").strip()


def parse_password(text: str) -> PasswordArguments:
    """Read `key=value` words; unknown, odd or oversized words are ignored, of two equal keys the first counts."""
    difficulty: float | None = None
    values: dict[str, str] = {}
    for word in re.split("[,;]", text, maxsplit=PASSWORD_WORDS)[:PASSWORD_WORDS]:
        key, equals, value = word.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key or len(key) > PASSWORD_KEY_BYTES or len(value) > PASSWORD_VALUE_BYTES:
            continue
        if key == "d":
            difficulty = parse_difficulty(value) if difficulty is None else difficulty
        elif value:
            values.setdefault(key, value)
    return PasswordArguments(difficulty, values)
