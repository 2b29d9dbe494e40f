"""What the HTTP API answers about one address: what it earned, its workers, its hashrate over time, its payments.

As in pool/web/api.py every view is copied field by field, and nothing shows which addresses shared a login.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chains.primitives.target import target_to_difficulty
from pool.web.api import SPANS, ApiError, Json, LiveStatus, checked_address, checked_cursor, checked_limit
from pool.web.options import WebOptions
from pool.web.payout_estimate import estimate

ONLINE_MS = 10 * 60 * 1000
"""A worker is online when it sent a share so long ago at most; vardiff aims at many in that time."""

MAX_WORKERS = 1000

_CREDIT_FIELDS = ("chain", "height", "hash", "state", "amount", "held", "found_ms")
_PAYMENT_FIELDS = (
    "chain", "amount", "fee", "net", "state", "txid", "elsewhere", "confirmations", "created_ms", "settled_ms",
)  # fmt: skip


class MinerBooks(Protocol):
    """The books' read side about one address (pool/storage/views.py and miner_views.py). `payments` raises ValueError
    for a cursor that is none of its own; None is an address that nothing was mined for."""

    async def miner(self, address: str, now_ms: int, started_ms: int) -> Mapping[str, Any] | None: ...
    async def seen(self, address: str, now_ms: int) -> Mapping[str, Any]: ...
    async def hashrates(self, address: str, now_ms: int) -> Mapping[str, Any] | None: ...
    async def payments(self, address: str, cursor: str | None, limit: int) -> Mapping[str, Any] | None: ...
    async def payout_facts(self, address: str, now_ms: int) -> Mapping[str, Any]: ...


class MinerApi:
    """One method per endpoint, each giving the JSON object of its answer. Raises ApiError."""

    def __init__(self, live: LiveStatus, books: MinerBooks, options: WebOptions) -> None:
        self.live = live
        self.books = books
        self.options = options

    async def miner(self, address: str, now_ms: int) -> Json:
        found = await self.books.miner(checked_address(address), now_ms, self.live.started_ms)
        if found is None:
            raise _unknown()
        seen = await self.books.seen(address, now_ms)
        return {
            "address": found["address"],
            "hashrate": found["hashrate_5m"],
            "hashrate_1h": found["hashrate_1h"],
            "best_share": self._best(seen["best"]),
            "workers": _workers(found["workers"], seen["workers"], now_ms),
            "balances": {
                chain: {key: sums[key] for key in ("immature", "available", "held")}
                for chain, sums in found["balances"].items()
            },
            "pseudonyms": self._pseudonyms(found),
            "credits": [{key: credit[key] for key in _CREDIT_FIELDS} for credit in found["credits"]],
        }

    async def hashrates(self, address: str, now_ms: int) -> Json:
        found = await self.books.hashrates(checked_address(address), now_ms)
        if found is None:
            raise _unknown()
        return {
            "address": address,
            "spans": {span: {key: found[span][key] for key in ("step_ms", "end_ms", "points")} for span in SPANS},
        }

    async def payouts(self, address: str, query: Mapping[str, str], now_ms: int) -> Json:
        """`query` may hold cursor and limit."""
        limit = checked_limit(query.get("limit"))
        cursor = None if "cursor" not in query else checked_cursor(query["cursor"])
        try:
            page = await self.books.payments(checked_address(address), cursor, limit)
        except ValueError:
            raise ApiError(400, "cursor: expected the cursor of an earlier answer") from None
        if page is None:
            raise _unknown()
        facts = await self.books.payout_facts(address, now_ms)
        return {
            "next": {
                chain: estimate(known, self.options.payouts.get(chain), now_ms) for chain, known in facts.items()
            },
            "items": [{key: payment[key] for key in _PAYMENT_FIELDS} for payment in page["items"]],
            "cursor": page["cursor"],
        }

    def _best(self, best: Mapping[str, Any] | None) -> Json | None:
        """The difficulty that the best of the newest shares met; a header's hash is its proof of work on SHA-256d only.
        """
        if best is None or self.live.algorithm != "sha256d":
            return None
        difficulty = target_to_difficulty(max(1, int(best["hash"], 16)), "sha256d")
        return {"difficulty": difficulty, "time_ms": best["time_ms"], "shares": best["shares"]}

    def _pseudonyms(self, found: Mapping[str, Any]) -> dict[str, str]:
        """What stands for the address in splits, by chain; empty where the address itself does."""
        names = self.options.pseudonyms
        chains = {*found["balances"], *(credit["chain"] for credit in found["credits"])}
        return {} if names is None else {chain: names.name(chain, found["address"]) for chain in sorted(chains)}


def _workers(recent: list[Mapping[str, Any]], seen: list[Mapping[str, Any]], now_ms: int) -> list[Json]:
    """Those of the last hour with their rates, then those of the last day without any; each the last share first."""
    workers = [
        {
            "name": worker["name"],
            "online": now_ms - worker["last_share_ms"] <= ONLINE_MS,
            "hashrate": worker["hashrate_5m"],
            "hashrate_1h": worker["hashrate_1h"],
            "last_share_ms": worker["last_share_ms"],
        }
        for worker in recent
    ]
    known = {worker["name"] for worker in workers}
    workers += [
        {"name": w["name"], "online": False, "hashrate": 0, "hashrate_1h": 0, "last_share_ms": w["last_share_ms"]}
        for w in seen
        if w["name"] not in known
    ]
    return workers[:MAX_WORKERS]


def _unknown() -> ApiError:
    return ApiError(404, "nothing was mined for this address yet")
