"""A process's connection to Redis, and how a call to it ends: with an answer, or as an outage told in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pool.blocks.stream_entry import TransportAwayError

TIMEOUT_S = 5.0
SLOWEST_BYTES_PER_S = 1_000_000
"""A block of 8 MB, or all that is known of the jobs, has to get through a line on which the rest does."""

T = TypeVar("T")


def connection(url: str, name: str) -> Any:
    """Nothing is opened before the first call. `name` is what Redis lists it as. Raises ValueError for a URL that is
    none."""
    return Redis.from_url(
        url,
        # With a time limit of its own redis-py uses wait_for, which before Python 3.12 swallows cancellations: a
        # pool would not stop. asked() has the limit.
        socket_timeout=None,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        client_name=name,
    )


async def asked(call: Awaitable[T], size: int = 0) -> T:
    """The answer to a call; `size` are the bytes that go there, where they may be many. Raises TransportAwayError when
    Redis does not do what it is asked."""
    limit_s = TIMEOUT_S + size / SLOWEST_BYTES_PER_S
    try:
        async with asyncio.timeout(limit_s):
            return await call
    except TimeoutError as error:
        raise TransportAwayError(f"no answer within {limit_s:.3g} s") from error
    except (RedisError, OSError) as error:
        raise TransportAwayError(_in_short(error)) from error


def _in_short(error: Exception) -> str:
    """redis-py's own words name host and port, never a password."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
