"""When and how much an address will be paid next on a chain, as far as can be said: an estimate and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool.web.options import PayoutRule

WEEK_MS = 7 * 86_400_000


def estimate(facts: Mapping[str, Any], rule: PayoutRule | None, now_ms: int) -> dict[str, Any]:
    """From a chain's facts (pool/storage/miner_views.payout_facts) and how it pays (None: it does not).

    `state` is one of: ready (will be in the next batch), below_minimum, frozen, refused_address, on_hold, not_paid,
    nothing. `due_ms` is when the next batch is planned, `amount` what it would pay, None where nothing can be said;
    `missing` is what lacks to the minimum, and `reached_ms` when that is there if it goes on as in the last week.
    """
    minimum = None if rule is None else max(rule.minimum, facts["own_minimum"] or 0)
    answer: dict[str, Any] = {
        "state": "ready", "minimum": minimum, "amount": None, "due_ms": None, "missing": None, "reached_ms": None,
    }  # fmt: skip
    if rule is None or minimum is None:
        return answer | {"state": "not_paid"}
    last_ms = facts["last_planned_ms"]
    due_ms = now_ms if last_ms is None else max(now_ms, last_ms + rule.interval_ms)
    stops = (("frozen", "frozen"), ("refused_address", "refused_address"), ("on_hold", "chain_on_hold"))
    for state, fact in stops:
        if facts[fact]:
            return answer | {"state": state}
    available, immature = facts["available"], facts["immature"]
    if available >= minimum:
        return answer | {"amount": available, "due_ms": due_ms}
    missing = minimum - available
    earned = facts["earned_7d"]
    # What is immature already comes before anything that is yet to be earned.
    wait_ms = max(0, missing - immature) * WEEK_MS // earned if earned > 0 else None
    reached_ms = None if wait_ms is None or wait_ms > 52 * WEEK_MS else now_ms + wait_ms
    state = "below_minimum" if available or immature or earned else "nothing"
    return answer | {"state": state, "missing": missing, "reached_ms": reached_ms}
