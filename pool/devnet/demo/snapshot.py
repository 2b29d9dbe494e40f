"""What the demo shows, asked of the pool's own HTTP API like anybody would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 3.0
METER_SPAN_MS = 60_000
MAX_ANSWER_BYTES = 4_000_000

# No proxy from the environment: the pool is on this machine.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of /api/v1/pool and /api/v1/chains, and the hashrate of the last minute."""

    pool: dict[str, Any]
    chains: list[dict[str, Any]]
    hashrate: float


class HashrateMeter:
    """Hashes per second of the last minute, from the pool's count of accepted work; the API's own rate looks back over
    five minutes, too long for somebody who watches a pool begin."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque()

    def rate(self, pool: dict[str, Any]) -> float:
        """With one more answer of /api/v1/pool."""
        now_ms, work = pool["now_ms"], pool["shares"]["accepted_work"]
        if not self._points:
            self._points.append((pool["started_ms"], 0))
        self._points.append((now_ms, work))
        while len(self._points) > 2 and self._points[1][0] <= now_ms - METER_SPAN_MS:
            self._points.popleft()
        since_ms, before = self._points[0]
        return max(0, work - before) * 1000 / max(1, now_ms - since_ms)


def health(http_url: str) -> str | None:
    """None when the pool is well, else why not."""
    try:
        with _open(f"{http_url}/healthz", timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return str(json.loads(error.read(MAX_ANSWER_BYTES)).get("error", error.reason))
    except (OSError, ValueError) as error:
        return f"no answer from {http_url}: {error}"


def take_snapshot(http_url: str, meter: HashrateMeter) -> Snapshot | None:
    """None while the pool does not answer."""
    try:
        pool = _get(f"{http_url}/api/v1/pool")
        return Snapshot(pool, _get(f"{http_url}/api/v1/chains")["items"], meter.rate(pool))
    except (OSError, ValueError, KeyError):
        return None


def _get(url: str) -> dict[str, Any]:
    with _open(url, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read(MAX_ANSWER_BYTES))
        return found
