"""What the demo shows, asked of the pool's own HTTP API like anybody would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 3.0
MAX_ANSWER_BYTES = 4_000_000

# No proxy from the environment: the pool is on this machine.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of /api/v1/pool and /api/v1/chains."""

    pool: dict[str, Any]
    chains: list[dict[str, Any]]


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


def take_snapshot(http_url: str) -> Snapshot | None:
    """None while the pool does not answer."""
    try:
        return Snapshot(_get(f"{http_url}/api/v1/pool"), _get(f"{http_url}/api/v1/chains")["items"])
    except (OSError, ValueError, KeyError):
        return None


def _get(url: str) -> dict[str, Any]:
    with _open(url, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read(MAX_ANSWER_BYTES))
        return found
