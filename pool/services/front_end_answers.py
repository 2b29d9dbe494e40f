"""What a front end answers when its mother asks about single connections, and how she makes one page of their answers.

A connection's number counts in its process; seen from outside it has the slot in it, so that two of different slots
never have the same one and a page goes on where the last one ended, at every front end.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from pool.services.connection_list import ConnectionList
from pool.services.front_end_messages import ConnectionsFound, ConnectionsWanted, MinersTold, MinersToTell
from pool.services.miner_messages import tell
from stratum.server import StratumServer

SLOTS = 64
"""What a number is counted in: more than there are slots."""

ANSWER_BYTES = 512 << 10
"""Of one answer. A thousand ordinary connections have 400 kB; farms' with eight logins of 500 letters come on several
pages."""


def connections_found(
    listed: ConnectionList, wanted: ConnectionsWanted, slot: int, now: float, now_ms: int
) -> ConnectionsFound:
    """This process's part of a page, shortened to ANSWER_BYTES."""
    after = (wanted.after - slot) // SLOTS  # of our own numbers, those whose outer one is above
    page = listed.page(after, wanted.limit, wanted.login, wanted.worker, now, now_ms)
    items: list[bytes] = []
    room, last = ANSWER_BYTES, None
    for item in page["items"]:
        number = item["number"] * SLOTS + slot
        text = json.dumps(item | {"number": number}, separators=(",", ":")).encode()
        if len(text) > room and items:
            break
        room -= len(text)
        items.append(text)
        last = number
    has_more = page["after"] is not None or len(items) < len(page["items"])
    return ConnectionsFound(wanted.number, page["total"], items, last if has_more else None)


async def miners_told(servers: Collection[StratumServer], message: MinersToTell) -> MinersTold:
    return MinersTold(message.number, await tell(servers, message.text, message.login, message.worker))


def one_page(found: Mapping[int, ConnectionsFound], limit: int) -> dict[str, Any]:
    """At most `limit` connections of all front ends, as ConnectionList.page() has them of one: what lies behind the
    end of somebody's shortened answer is left to the next page, so that nothing is passed over."""
    ends = [answer.more_after for answer in found.values() if answer.more_after is not None]
    items = [json.loads(text) for answer in found.values() for text in answer.items]
    known = sorted((item for item in items if not ends or item["number"] <= min(ends)), key=lambda item: item["number"])
    shown = known[:limit]
    has_more = len(shown) < len(items) or bool(ends)
    return {
        "total": sum(answer.total for answer in found.values()),
        "items": shown,
        "after": shown[-1]["number"] if has_more else None,
    }
