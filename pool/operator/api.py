"""What an operator may ask of the running process, without HTTP: each call's fields, their limits, and its answer.

Whoever is asked to do it says so in `Operated`. Every answer is an object; every refusal a sentence that tells what to
do instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

Json = dict[str, Any]

DEFAULT_OVER_S = 1200
MOST_OVER_S = 86_400
MOST_BAN_S = 366 * 86_400
MOST_LETTERS = 300
"""Of a message or a reason. A miner's display has some forty, its log more; firmware reads lines of 1 kB at least."""

MOST_NAME = 512
DEFAULT_ITEMS, MAX_ITEMS = 100, 1000
MAX_CLOSINGS = 4
"""In one answer: each may have some megabytes."""

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile(r"[0-9]{1,18}")


class OperatorError(Exception):
    """A call that is not done: an HTTP status, and a sentence for people. `lines` has more of them where there are."""

    def __init__(self, status: int, sentence: str, lines: list[str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.lines = lines


class Operated(Protocol):
    """The running process (pool/wiring/operating.py). Each raises OperatorError for what cannot be."""

    def drain_state(self) -> Json: ...
    def begin_drain(self, over_s: int) -> Json: ...
    def end_drain(self) -> Json: ...
    async def reload(self) -> Json: ...
    def bans(self) -> list[Json]: ...
    async def ban(self, network: str, seconds: int, reason: str) -> Json: ...
    async def unban(self, network: str) -> bool: ...
    async def tell(self, text: str, login: str | None, worker: str | None) -> Json: ...
    async def connections(self, after: int, limit: int, login: str | None, worker: str | None) -> Json: ...
    async def closings(self, after: int, limit: int) -> list[Json]: ...


class OperatorApi:
    """One method per call; `body` is what was posted, `query` what stands behind the path."""

    def __init__(self, pool: Operated) -> None:
        self._pool = pool

    def drain_state(self) -> Json:
        return self._pool.drain_state()

    def begin_drain(self, body: bytes) -> Json:
        fields = _object(body, {"over_s"})
        return self._pool.begin_drain(_whole(fields, "over_s", 0, MOST_OVER_S, DEFAULT_OVER_S))

    def end_drain(self) -> Json:
        return self._pool.end_drain()

    async def reload(self, body: bytes) -> Json:
        _object(body, set())
        return await self._pool.reload()

    def bans(self, query: Mapping[str, str]) -> Json:
        _known(query, {"after", "limit"})
        after, limit = _number(query, "after", 0), min(_number(query, "limit", DEFAULT_ITEMS), MAX_ITEMS)
        every = self._pool.bans()
        shown = every[after : after + limit]
        end = after + len(shown)
        return {"total": len(every), "items": shown, "after": end if end < len(every) else None}

    async def ban(self, body: bytes) -> Json:
        fields = _object(body, {"address", "seconds", "reason"})
        network = _text(fields, "address", 64)
        return await self._pool.ban(
            network, _whole(fields, "seconds", 1, MOST_BAN_S), _text(fields, "reason", MOST_LETTERS)
        )

    async def unban(self, network: str) -> Json:
        if not await self._pool.unban(network[:64]):
            raise OperatorError(404, "there is no such ban; GET /bans shows them as they have to be named")
        return {"removed": network}

    async def tell(self, body: bytes) -> Json:
        fields = _object(body, {"text", "login", "worker"})
        text = _text(fields, "text", MOST_LETTERS)
        login = _text(fields, "login", MOST_NAME) if "login" in fields else None
        worker = _text(fields, "worker", MOST_NAME) if "worker" in fields else None
        if worker is not None and login is None:
            raise OperatorError(400, "worker: expected login beside it, as workers of many miners share a name")
        return await self._pool.tell(text, login, worker)

    async def connections(self, query: Mapping[str, str]) -> Json:
        _known(query, {"after", "limit", "login", "worker"})
        limit = min(_number(query, "limit", DEFAULT_ITEMS), MAX_ITEMS)
        return await self._pool.connections(
            _number(query, "after", 0), limit, query.get("login"), query.get("worker")
        )

    async def closings(self, query: Mapping[str, str]) -> Json:
        _known(query, {"after", "limit"})
        after, limit = _number(query, "after", 0), min(_number(query, "limit", MAX_CLOSINGS), MAX_CLOSINGS)
        items = await self._pool.closings(after, limit)
        return {"items": items, "after": items[-1]["number"] if items else after}


def _object(body: bytes, names: set[str]) -> Json:
    """The fields of a posted object; nothing posted is an empty one."""
    if not body.strip():
        return {}
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise OperatorError(400, f"the body is no JSON; expected {_form(names)}") from None
    if not isinstance(fields, dict):
        raise OperatorError(400, f"the body: expected {_form(names)}")
    _known(fields, names)
    return fields


def _known(fields: Mapping[str, Any], names: set[str]) -> None:
    for name in fields:
        if name not in names:
            expected = f"expected {', '.join(sorted(names))}" if names else "expected none"
            raise OperatorError(400, f"{name[:32]!a}: unknown field, {expected}")


def _form(names: set[str]) -> str:
    return f"an object with {', '.join(sorted(names))}" if names else "no body"


def _whole(fields: Json, name: str, least: int, most: int, default: int | None = None) -> int:
    number = fields.get(name, default)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise OperatorError(400, f"{name}: expected a whole number from {least} to {most}")
    return number


def _text(fields: Json, name: str, letters: int) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text.strip() or len(text) > letters:
        raise OperatorError(400, f"{name}: expected text of 1 to {letters} letters")
    if _UNSEEN.search(text):
        raise OperatorError(400, f"{name}: expected text without control characters or line ends")
    return text


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or (name == "limit" and int(text) == 0):
        raise OperatorError(400, f"{name}: expected a whole number{' of at least 1' if name == 'limit' else ''}")
    return int(text)
