"""What the API says of votes: where each is, in words."""

from __future__ import annotations

from typing import Any

import pytest
from web_site import Site

from pool.web.api import _block_item


def row(state: str, reward: int | None, container: str | None = None) -> dict[str, Any]:
    index = None if container is None else 3
    return {
        "chain": "votes", "height": 7, "hash": "ab" * 32, "state": state, "reward": reward, "fee": None,
        "confirmations": 0, "found_ms": 5, "container": container, "index": index, "reason": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("block", "state"),
    [
        (row("submitted", None), "waiting"),
        (row("immature", 5, "cd" * 32), "included"),
        (row("mature", 5, "cd" * 32), "included"),
        (row("orphan", None), "late"),
        (row("orphan", 5, "cd" * 32), "orphaned"),
        (row("rejected", None), "rejected"),
        (row("lost", 5, "cd" * 32), "lost"),
    ],
)
def test_web_says_where_a_vote_is(block: dict[str, Any], state: str) -> None:
    item = _block_item(block, frozenset({"votes"}))
    assert item["vote"] == {"state": state, "block": block["container"], "index": block["index"]}
    assert "container" not in item and "reason" not in item


def test_web_says_nothing_of_votes_where_there_are_none() -> None:
    assert _block_item(row("submitted", None), frozenset())["vote"] is None
    assert _block_item(row("immature", 5, "cd" * 32), frozenset())["vote"] is not None


async def test_web_leaves_votes_out_when_asked_to(site: Site) -> None:
    status, page = await site.ask("/api/v1/blocks?votes=no")
    assert status == 200 and len(page["items"]) == 3
