"""The HTTP API's answers, without HTTP: what is asked of the running process and of the books, and each view's shape.

Amounts are integers in the chain's smallest unit, hashes and targets displayed hex, times wall-clock milliseconds,
hashrates whole hashes per second. A view shows what one address earns and never which addresses shared a login: every
view is copied field by field from the books' answer, so that a field added there does not become public by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from chains.registry import AUX_KINDS
from pool.web.pseudonyms import Pseudonyms
from pool.web.units import duration_text

DEFAULT_ITEMS = 50
MAX_ITEMS = 200
"""Items of one list answer; a larger `limit` gives this many and a cursor."""

MAX_CREDITS = 1000
"""Credits of one answer about a block."""

MAX_ADDRESS = 128
"""The longest address forms in use have 90 characters (BIP173)."""

LARGE_BOOKS_LAG_S = 60.0
"""From so long a lag of the books on, health says so; well over a batch and the books' pause after a failure."""

PROVISIONAL_MS = 15_000
"""An idle front end tells every five seconds how far it has drained; one that is behind by more than three times that
may hold shares that the figures lack.
"""

SPANS = ("1h", "24h", "7d")
"""Of the plots."""

DRAINING = "miners are being moved to another process"

_CHAIN = re.compile(r"[a-z0-9_-]{1,32}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_ADDRESS = re.compile(rf"[0-9A-Za-z:_-]{{1,{MAX_ADDRESS}}}")
_CURSOR = re.compile(r"[0-9A-Za-z_.:=-]{1,64}")
_LIMIT = re.compile(r"[0-9]{1,64}")

_BLOCK_FIELDS = ("chain", "height", "hash", "state", "reward", "fee", "confirmations", "found_ms")
VOTE_STATES = {
    "submitted": "waiting", "immature": "included", "mature": "included", "orphan": "orphaned", "rejected": "rejected",
    "lost": "lost",
}  # fmt: skip
"""What became of a vote, by the state of its row; `late` is one that no block ever had."""

_BOOKED_FIELDS = ("blocks", "immature", "available", "fee", "unexplained")

Json = dict[str, Any]


class ApiError(Exception):
    """A question that has no answer: an HTTP status and a sentence for people."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class LeadingStatus:
    """The blocks of a chain of votes that this process leads: whether it can sign any now, and since the start those
    that a node took and those that came to nothing."""

    ready: bool
    led: int
    refused: int


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """A chain now. `state` is ok, syncing, down, wrong_network, or unknown to a process that asks no node; `height` and
    `target` are None while unknown. `schemes` are those that shares may count under; `buying` tells whether shares are
    bought now, None where none ever are. `network` names the network of consensus proofs that the chain is under.
    `leading` is None where this process leads no blocks.
    """

    name: str
    kind: str
    height: int | None
    target: int | None
    state: str
    in_tree: bool
    schemes: tuple[str, ...] = ("pplns",)
    buying: bool | None = None
    network: str | None = None
    leading: LeadingStatus | None = None


class LiveStatus(Protocol):
    """What the running process knows of itself. Counts are since its start."""

    @property
    def name(self) -> str: ...
    @property
    def started_ms(self) -> int: ...
    @property
    def parent(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def fee_ppm(self) -> int: ...
    @property
    def stratum_urls(self) -> Sequence[str]: ...
    @property
    def accepting(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def shares_accepted(self) -> int: ...
    @property
    def accepted_work(self) -> int: ...
    @property
    def shares_rejected(self) -> Mapping[str, int]: ...
    @property
    def jobs_sent(self) -> int: ...
    @property
    def books_lag_s(self) -> float: ...
    def chains(self) -> Sequence[ChainStatus]: ...


class Books(Protocol):
    """The books' read side (pool/storage/views.py, which says what each mapping holds), asked without blocking the
    loop. Those that take a cursor raise ValueError for one that is none of their own."""

    async def pool_overview(self, now_ms: int, started_ms: int) -> Mapping[str, Any]: ...
    async def pool_hashrates(self, now_ms: int) -> Mapping[str, Any]: ...
    async def chain_blocks(
        self, chain: str | None, cursor: str | None, limit: int, among: Collection[str] | None = None
    ) -> Mapping[str, Any]: ...
    async def block_with_credits(
        self, chain: str, hash_hex: str, cursor: str | None, limit: int
    ) -> Mapping[str, Any] | None: ...


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Api:
    """One method per endpoint, each giving the JSON object of its answer. Raises ApiError."""

    def __init__(
        self, live: LiveStatus, books: Books, now_ms: Callable[[], int] = wall_ms, pseudonyms: Pseudonyms | None = None
    ) -> None:
        """With `pseudonyms` these stand for the addresses in a block's split."""
        self.live = live
        self.books = books
        self.now_ms = now_ms
        self.pseudonyms = pseudonyms

    def problems(self) -> list[str]:
        """Why this process should get no miners now; empty when all is well."""
        found = []
        parent = next((chain for chain in self.live.chains() if chain.name == self.live.parent), None)
        if not self.live.accepting:
            found.append("the pool accepts no shares")
        if parent is None or parent.state not in ("ok", "unknown"):
            state = "not watched" if parent is None else parent.state
            found.append(f"the parent chain {self.live.parent} is {state}")
        return found

    def notes(self) -> list[str]:
        """What somebody should look at although miners do not notice; empty when all is well."""
        lag_s = self.live.books_lag_s
        found = [f"the books are {duration_text(lag_s)} behind"] if lag_s > LARGE_BOOKS_LAG_S else []
        return found + ([DRAINING] if self.live.draining else [])

    async def pool(self) -> Json:
        now_ms = self.now_ms()
        live = self.live
        overview = await self.books.pool_overview(now_ms, live.started_ms)
        voting = self._voting()
        return {
            "name": live.name,
            "started_ms": live.started_ms,
            "now_ms": now_ms,
            "parent": live.parent,
            "algorithm": live.algorithm,
            "fee_ppm": live.fee_ppm,
            "stratum": list(live.stratum_urls),
            "accepting": live.accepting,
            "connections": live.connections,
            "workers": live.workers,
            "miners": overview["miners"],
            "hashrate": overview["hashrate_5m"],
            "hashrate_1h": overview["hashrate_1h"],
            "last_share_ms": overview["last_share_ms"],
            "drained_ms": overview["drained_ms"],
            "provisional": not overview["whole"]
            or overview["drained_ms"] is None
            or now_ms - overview["drained_ms"] > PROVISIONAL_MS,
            "shares": {
                "accepted": live.shares_accepted,
                "accepted_work": live.accepted_work,
                "rejected": dict(live.shares_rejected),
            },
            "jobs_sent": live.jobs_sent,
            "chains": {name: _booked(sums, voting) for name, sums in overview["chains"].items()},
        }

    async def hashrates(self) -> Json:
        found = await self.books.pool_hashrates(self.now_ms())
        return {"spans": {span: {key: found[span][key] for key in ("step_ms", "end_ms", "points")} for span in SPANS}}

    def chains(self) -> Json:
        return {"items": [_chain_item(chain) for chain in self.live.chains()], "cursor": None}

    async def blocks(self, query: Mapping[str, str]) -> Json:
        """`query` may hold chain, cursor, limit, and votes, which `no` leaves out; other keys are ignored."""
        if query.get("votes", "no") != "no":
            raise ApiError(400, "votes: expected no")
        chain = _chain_name(query["chain"]) if "chain" in query else None
        limit = checked_limit(query.get("limit"))
        cursor, voting = _cursor(query), self._voting()
        among = None
        if "votes" in query:
            among = {chain.name for chain in self.live.chains()} - voting
        try:
            page = await self.books.chain_blocks(chain, cursor, limit, among)
        except ValueError:
            raise _wrong_cursor() from None
        if chain is not None and not page["items"] and cursor is None and not self._is_configured(chain):
            raise ApiError(404, f"there is no chain {chain}")
        return {"items": [_block_item(block, voting) for block in page["items"]], "cursor": page["cursor"]}

    async def block(self, chain: str, hash_hex: str, query: Mapping[str, str]) -> Json:
        """`query` may hold cursor and limit, of the credits."""
        _chain_name(chain)
        if not _HASH.fullmatch(hash_hex):
            raise ApiError(400, "hash: expected 64 hex digits")
        limit = checked_limit(query.get("limit"), MAX_CREDITS, MAX_CREDITS)
        try:
            found = await self.books.block_with_credits(chain, hash_hex.lower(), _cursor(query), limit)
        except ValueError:
            raise _wrong_cursor() from None
        if found is None:
            raise ApiError(404, "this pool found no such block")
        credits = [{key: credit[key] for key in ("miner", "amount", "held")} for credit in found["credits"]]
        if self.pseudonyms is not None:
            for credit in credits:
                credit["miner"] = self.pseudonyms.name(chain, credit["miner"])
        return {
            **_block_item(found, self._voting()),
            "credits": credits,
            "credits_total": found["credits_total"],
            "cursor": found["cursor"],
        }

    def _voting(self) -> frozenset[str]:
        """The chains on which votes are found."""
        return frozenset(chain.name for chain in self.live.chains() if _votes(chain))

    def _is_configured(self, name: str) -> bool:
        return any(chain.name == name for chain in self.live.chains())


def checked_address(text: str) -> str:
    """The address, if it may be one of any chain. Raises ApiError."""
    if not _ADDRESS.fullmatch(text):
        raise ApiError(400, f"address: expected at most {MAX_ADDRESS} letters and digits")
    return text


def _chain_name(text: str) -> str:
    if not _CHAIN.fullmatch(text):
        raise ApiError(400, "chain: expected the name of a chain")
    return text


def checked_limit(text: str | None, default: int = DEFAULT_ITEMS, most: int = MAX_ITEMS) -> int:
    """How many items an answer may have. Raises ApiError."""
    if text is None:
        return default
    if not _LIMIT.fullmatch(text) or int(text) == 0:
        raise ApiError(400, f"limit: expected a number from 1 to {most}")
    return min(int(text), most)


def checked_cursor(text: str) -> str:
    """A cursor, if it may be one. Raises ApiError."""
    if not _CURSOR.fullmatch(text):
        raise _wrong_cursor()
    return text


def _cursor(query: Mapping[str, str]) -> str | None:
    return checked_cursor(query["cursor"]) if "cursor" in query else None


def _wrong_cursor() -> ApiError:
    return ApiError(400, "cursor: expected the cursor of an earlier answer")


def _chain_item(chain: ChainStatus) -> Json:
    return {
        "name": chain.name,
        "kind": chain.kind,
        "height": chain.height,
        "target": None if chain.target is None else f"{chain.target:064x}",
        "state": chain.state,
        "in_tree": chain.in_tree,
        "schemes": list(chain.schemes),
        "buying": chain.buying,
        "votes": _votes(chain),
        "network": chain.network,
        "leading": None if chain.leading is None else asdict(chain.leading),
    }


def _votes(chain: ChainStatus) -> bool:
    """Whether what is found on a chain are votes, of which a block has many."""
    kind = AUX_KINDS.get(chain.kind)
    return kind is not None and kind.many


def _block_item(block: Mapping[str, Any], voting: frozenset[str]) -> Json:
    """`vote` is None of a block."""
    vote: Json | None = None
    if block["container"] is not None or block["chain"] in voting:
        state = VOTE_STATES[block["state"]]
        if block["state"] == "orphan" and block["reward"] is None:
            state = "late"
        vote = {"state": state, "block": block["container"], "index": block["index"]}
    return {key: block[key] for key in _BLOCK_FIELDS} | {"vote": vote}


def _booked(sums: Mapping[str, Any], voting: frozenset[str]) -> Json:
    last = None if sums["last_block"] is None else _block_item(sums["last_block"], voting)
    return {key: sums[key] for key in _BOOKED_FIELDS} | {"last_block": last}
