"""Whether a node's clock is right: one that is wrong makes blocks that nobody takes, or takes no others."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

from chains.node_rpc import RpcError, one_line
from pool.doctor.finding import Finding, good, note, unchecked, wrong
from pool.doctor.node_under_test import NodeUnderTest

CLOCK_NOTE_S = 5
CLOCK_WRONG_S = 60
"""A block's time may be two hours ahead of the network's, so a minute loses none; but a clock that is a minute off is
not being set by anybody, and goes on from there."""

MAX_AHEAD_S = 2 * 3600
"""No node takes a block that is later than so much after its own now (MAX_FUTURE_BLOCK_TIME of Bitcoin Core)."""

_TIME_SERVICE = "Let a time service (chrony, systemd-timesyncd) set the clocks of both machines."


async def clock_finding(node: NodeUnderTest) -> Finding:
    """Three witnesses: the Date of the HTTP answer, which is whole seconds and was written between our call and its
    answer; what the node's peers say of its clock; and the time of its newest block."""
    subject, check = node.subject, "clock"
    begun_s = time.time()
    is_of_proofs = node.chain.kind == "parallel"
    tip = await node.rpc.call("getchainview" if is_of_proofs else "getbestblockhash")
    ended_s, date = time.time(), node.rpc.date
    if is_of_proofs:
        block_s = _number_in(tip, "time")
    else:
        block_s = await _number_of(node, "time", "getblockheader", tip)
    if block_s is not None and block_s - ended_s > MAX_AHEAD_S:
        words = f"its newest block is of {(block_s - ended_s) / 3600:.1f} h after our now"
        return wrong(subject, check, words, f"{_TIME_SERVICE} No network takes such a block: ours is behind.")
    peers_s = await _number_of(node, "timeoffset", "getnetworkinfo")
    if peers_s is not None and abs(peers_s) >= CLOCK_WRONG_S:
        words = f"{abs(peers_s)} s {'behind' if peers_s > 0 else 'ahead of'} its peers'"
        return wrong(subject, check, words, "Let a time service (chrony, systemd-timesyncd) set the node's clock.")
    if date is None:
        return unchecked(subject, check, "the node's answers have no Date")
    try:
        theirs_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return unchecked(subject, check, f"the node's answers have a Date that is none: {one_line(date)[:40]}")
    # Cut to whole seconds: theirs lay between theirs_s and theirs_s + 1.
    behind_s, ahead_s = begun_s - (theirs_s + 1), theirs_s - ended_s
    off_s = round(max(behind_s, ahead_s, 0))
    if off_s == 0:
        return good(subject, check, "as ours")
    words = f"{off_s} s {'behind' if behind_s > ahead_s else 'ahead of'} ours"
    if off_s >= CLOCK_WRONG_S:
        return wrong(subject, check, words, f"{_TIME_SERVICE} Ours may be the wrong one.")
    if off_s >= CLOCK_NOTE_S:
        return note(subject, check, words, _TIME_SERVICE)
    return good(subject, check, words)


async def _number_of(node: NodeUnderTest, field: str, method: str, *params: Any) -> int | None:
    """A whole number in an answer; None of a daemon that does not tell it."""
    try:
        answer = await node.rpc.call(method, *params)
    except RpcError:
        return None
    return _number_in(answer, field)


def _number_in(answer: Any, field: str) -> int | None:
    number = answer.get(field) if isinstance(answer, dict) else None
    return number if type(number) is int else None
