"""The pure parts of the pages: plots, estimates, clients behind proxies, kept answers, figures as people read them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pool.web.answer_cache import MAX_ANSWERS, AnswerCache
from pool.web.client_limit import ClientLimit
from pool.web.options import ClientLimits, PayoutRule
from pool.web.payout_estimate import WEEK_MS, estimate
from pool.web.plot import plot
from pool.web.units import amount_text, difficulty_text

NOW_MS = 10**12


# -- plots ------------------------------------------------------------------------------------------------------------


def test_web_plot_steps_and_leaves_gaps_open() -> None:
    drawn = plot([10, None, 0, 20])
    assert drawn.line == "M0.0 52.5H250.0M500.0 100.0H750.0V5.0H1000.0"
    assert drawn.area == "M0.0 100V52.5H250.0V100H0.0ZM500.0 100V100.0H750.0V5.0H1000.0V100H500.0Z"
    assert (drawn.newest, drawn.mean, drawn.highest, drawn.lowest) == (20, 10, 20, 0)


@pytest.mark.parametrize("points", [[], [None], [None, None]])
def test_web_plot_of_nothing_is_empty(points: list[int | None]) -> None:
    drawn = plot(points)
    assert (drawn.line, drawn.area, drawn.mean) == ("", "", None)


def test_web_plot_of_zeros_lies_on_the_ground() -> None:
    assert plot([0, 0]).line == "M0.0 100.0H500.0V100.0H1000.0"


# -- the next payout --------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "available": 0, "immature": 0, "own_minimum": None, "frozen": False, "refused_address": False,
    "chain_on_hold": False, "last_planned_ms": NOW_MS - 1000, "earned_7d": 0,
}  # fmt: skip
RULE = PayoutRule(100, 5000)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"available": 100}, {"state": "ready", "amount": 100, "due_ms": NOW_MS + 4000, "minimum": 100}),
        ({"available": 100, "last_planned_ms": None}, {"state": "ready", "due_ms": NOW_MS}),
        ({"available": 100, "last_planned_ms": 5}, {"state": "ready", "due_ms": NOW_MS}),
        ({"available": 100, "own_minimum": 150}, {"state": "below_minimum", "minimum": 150, "missing": 50}),
        ({"available": 100, "own_minimum": 50}, {"state": "ready", "minimum": 100}),
        ({"available": 40, "earned_7d": 30}, {"missing": 60, "reached_ms": NOW_MS + 2 * WEEK_MS}),
        ({"available": 40, "immature": 45, "earned_7d": 30}, {"missing": 60, "reached_ms": NOW_MS + WEEK_MS // 2}),
        ({"available": 40, "immature": 70, "earned_7d": 1}, {"missing": 60, "reached_ms": NOW_MS}),
        ({"available": 1, "earned_7d": 1}, {"state": "below_minimum", "reached_ms": None}),
        ({"available": 1}, {"state": "below_minimum", "reached_ms": None, "amount": None, "due_ms": None}),
        ({}, {"state": "nothing"}),
        ({"available": 100, "frozen": True, "chain_on_hold": True}, {"state": "frozen", "amount": None}),
        ({"available": 100, "refused_address": True}, {"state": "refused_address"}),
        ({"available": 100, "chain_on_hold": True}, {"state": "on_hold", "due_ms": None}),
    ],
)
def test_web_estimate_of_the_next_payout(facts: dict[str, Any], expected: dict[str, Any]) -> None:
    found = estimate({**FACTS, **facts}, RULE, NOW_MS)
    assert {key: found[key] for key in expected} == expected


def test_web_estimate_where_nobody_is_paid() -> None:
    assert estimate({**FACTS, "available": 10**9}, None, NOW_MS)["state"] == "not_paid"


# -- clients ----------------------------------------------------------------------------------------------------------

PROXIES = ClientLimits(forwarded_from=frozenset({"127.0.0.1", "10.0.0.2"}))


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),  # nobody's word counts but the proxies'
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "," * 10_000, "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", None, "fe80::1"),
        (None, None, None),
    ],
)
def test_web_client_of_a_request(remote: str | None, forwarded: str | None, client: str | None) -> None:
    assert ClientLimit(PROXIES).client(remote, forwarded) == client


def test_web_client_limit_lets_the_machine_itself_through_but_not_its_proxy() -> None:
    open_to_all = ClientLimit(ClientLimits(burst=1, per_s=0.5))
    assert [open_to_all.wait_s("127.0.0.1", 0.0) for _ in range(3)] == [None, None, None]
    assert [open_to_all.wait_s("192.0.2.1", 0.0) for _ in range(2)] == [None, 2.0]
    behind = ClientLimit(ClientLimits(burst=1, per_s=0.5, forwarded_from=frozenset({"127.0.0.1"})))
    assert [behind.wait_s("127.0.0.1", 0.0) for _ in range(2)] == [None, 2.0]
    strict = ClientLimit(ClientLimits(burst=1, per_s=0.5, exempt_loopback=False))
    assert [strict.wait_s("::1", 0.0) for _ in range(2)] == [None, 2.0]
    assert [strict.wait_s(None, 0.0) for _ in range(2)] == [None, 2.0], "who cannot be told apart is one client"


# -- kept answers -----------------------------------------------------------------------------------------------------


async def test_web_answers_are_kept_for_their_time_and_failures_are_not() -> None:
    now_s = 0.0
    cache = AnswerCache(lambda: now_s)
    answers: list[Any] = [1, ValueError("away"), 2]

    async def ask() -> Any:
        answer = answers.pop(0)
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await asyncio.gather(*(cache.get("a", 5, ask) for _ in range(3))) == [1, 1, 1]
    now_s = 4.9
    assert await cache.get("a", 5, ask) == 1
    now_s = 5.0
    with pytest.raises(ValueError, match="away"):
        await cache.get("a", 5, ask)
    assert await cache.get("a", 5, ask) == 2
    assert answers == []


async def test_web_answer_comes_to_the_others_when_one_goes_away() -> None:
    cache, go_on = AnswerCache(lambda: 0.0), asyncio.Event()

    async def ask() -> int:
        await go_on.wait()
        return 7

    first, second = (asyncio.create_task(cache.get("a", 5, ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go_on.set()
    assert await second == 7
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_web_answers_kept_are_bounded() -> None:
    cache = AnswerCache(lambda: 0.0)

    async def ask() -> int:
        return 1

    for number in range(MAX_ANSWERS + 10):
        await cache.get(str(number), 5, ask)
    assert len(cache._kept) == MAX_ANSWERS


# -- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difficulty", "text"),
    [(0.00012207, "0.000122"), (1, "1"), (65536, "65.5 k"), (999.6, "1.00 k"), (1.1e14, "110 T"), (1234567, "1.23 M")],
)
def test_web_difficulty_as_people_read_it(difficulty: float, text: str) -> None:
    assert difficulty_text(difficulty) == text


def test_web_amounts_as_people_read_them() -> None:
    assert amount_text(4_950_000_000) == "4,950,000,000"
    assert amount_text(123_456_789_012_345, 8) == "1,234,567.89012345"
    assert amount_text(-5, 8) == "-0.00000005"
