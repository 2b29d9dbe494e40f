"""One page of connections from several processes: the same items as from one, nobody passed over, nobody twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pool.services import front_end_answers
from pool.services.front_end_answers import SLOTS, connections_found, one_page
from pool.services.front_end_messages import ConnectionsFound, ConnectionsWanted


class Listed:
    """A list of connections with these numbers."""

    def __init__(self, *numbers: int, agent: str = "x") -> None:
        self.numbers = numbers
        self.agent = agent

    def page(self, after: int, limit: int, *_: Any) -> dict[str, Any]:
        wanted = [number for number in self.numbers if number > after]
        shown = wanted[:limit]
        return {
            "total": len(self.numbers),
            "items": [{"number": number, "agent": self.agent, "hashrate": 10**30} for number in shown],
            "after": shown[-1] if len(wanted) > limit else None,
        }


def _found(listed: Listed, slot: int, after: int = 0, limit: int = 100) -> ConnectionsFound:
    wanted = ConnectionsWanted(7, after, limit, None, None)
    return connections_found(listed, wanted, slot, 0.0, 0)  # type: ignore[arg-type]


def _walk(fleet: dict[int, Listed], limit: int) -> list[int]:
    seen: list[int] = []
    after: int | None = 0
    for _ in range(10_000):
        assert after is not None
        page = one_page({slot: _found(listed, slot, after, limit) for slot, listed in fleet.items()}, limit)
        assert page["total"] == sum(len(listed.numbers) for listed in fleet.values())
        numbers = [item["number"] for item in page["items"]]
        assert len(numbers) <= limit and (page["after"] is None or numbers[-1] == page["after"])
        seen += numbers
        after = page["after"]
        if after is None:
            return seen
    raise AssertionError("pages without end")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_front_end_answers_make_pages_of_everybody_once(limit: int) -> None:
    fleet = {1: Listed(*range(1, 20)), 2: Listed(5, 6, 900), 31: Listed(), 32: Listed(1)}
    expected = sorted(number * SLOTS + slot for slot, listed in fleet.items() for number in listed.numbers)
    assert _walk(fleet, limit) == expected


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_front_end_answers_that_were_shortened_leave_the_rest_to_the_next_page(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end_answers, "ANSWER_BYTES", 200)
    fleet = {1: Listed(*range(1, 9), agent="a" * 90), 2: Listed(*range(1, 9)), 3: Listed(3, agent="b" * 1000)}
    found = _found(fleet[1], 1)
    assert 0 < len(found.items) < 8 and sum(map(len, found.items)) <= 200
    assert found.more_after == json.loads(found.items[-1])["number"]
    expected = sorted(number * SLOTS + slot for slot, listed in fleet.items() for number in listed.numbers)
    assert _walk(fleet, limit) == expected


def test_front_end_answers_go_on_behind_a_number_of_another_slot() -> None:
    assert [json.loads(text)["number"] for text in _found(Listed(1, 2, 3), 5, 2 * SLOTS + 4).items] == [
        2 * SLOTS + 5, 3 * SLOTS + 5,
    ]  # fmt: skip
    for after in (2 * SLOTS + 5, 2 * SLOTS + 6):
        assert [json.loads(text)["number"] for text in _found(Listed(1, 2, 3), 5, after).items] == [3 * SLOTS + 5]
    assert one_page({}, 5) == {"total": 0, "items": [], "after": None}
