"""What a batch is called and which steps it may take, written out once more as the books keep them."""

from __future__ import annotations

import pytest
from payout_samples import make_batch, make_coin

from pool.payouts.batch import (
    HOLDABLE,
    TRANSITIONS,
    BatchEvent,
    BatchKind,
    BatchState,
    BuiltBatch,
    FeePolicy,
    StepRefusedError,
    after,
    allowed_steps,
)

S, E = BatchState, BatchEvent
# state: event=state ...
STEPS = """
planned: build=built void=void hold=hold
built: replan=planned sign=signed void=void hold=hold
signed: send=broadcast confirm=confirming conflict=conflicted replace=signed hold=hold
broadcast: confirm=confirming conflict=conflicted replace=broadcast hold=hold
confirming: drop=broadcast settle=settled conflict=conflicted hold=hold
settled: reopen=confirming
conflicted: clear=broadcast confirm=confirming void=void hold=hold
hold: void=void
void:
"""


def table() -> dict[str, dict[str, str]]:
    rows = (line.split(":") for line in STEPS.strip().splitlines())
    return {state: dict(step.split("=") for step in steps.split()) for state, steps in rows}


def test_payouts_batch_table_is_the_one_written_here() -> None:
    made = {str(s): {str(event): str(to) for event, to in events.items()} for s, events in TRANSITIONS.items()}
    assert made == table()


def test_payouts_batch_storage_lets_pass_the_steps_written_here_and_releases() -> None:
    steps = {(state, to) for state, events in table().items() for to in events.values() if to != state}
    holdable = {state for state, events in table().items() if "hold" in events}
    assert {(str(one), str(other)) for one, other in allowed_steps()} == steps | {("hold", state) for state in holdable}
    assert {str(state) for state in HOLDABLE} == holdable
    assert len(holdable) == 6


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("held_from", [None, S.SIGNED])
def test_payouts_batch_a_refused_step_is_named(state: S, held_from: S | None) -> None:
    if state is not S.HOLD:
        with pytest.raises(StepRefusedError, match=f"^a batch that is {state} has no step release$"):
            after(state, E.RELEASE, held_from)
    with pytest.raises(StepRefusedError, match=r"^a batch on hold cannot be released to void$"):
        after(S.HOLD, E.RELEASE, S.VOID)


def test_payouts_batch_on_hold_has_no_other_step() -> None:
    for event in set(E) - {E.VOID, E.RELEASE}:
        with pytest.raises(StepRefusedError, match=f"^a batch that is hold has no step {event}$"):
            after(S.HOLD, event, S.SIGNED)
    assert after(S.HOLD, E.VOID, S.SIGNED) is S.VOID


def test_payouts_batch_kinds_and_policies_as_the_books_keep_them() -> None:
    assert [str(kind) for kind in BatchKind] == ["payout", "withdraw", "sweep", "consolidate"]
    assert [str(policy) for policy in FeePolicy] == ["pool", "miner"]


def test_payouts_batch_is_signed_when_its_bytes_are_there() -> None:
    assert not make_batch(S.BUILT).signed
    assert make_batch(S.SIGNED).signed
    assert make_batch(S.HOLD, raw=b"").signed
    assert not make_batch(S.HOLD, raw=None).signed


def test_payouts_batch_inputs_are_its_coins_in_order() -> None:
    coins = (make_coin(2, 5), make_coin(1, 7))
    built = BuiltBatch(b"", coins, (), None, 0, 0, 0)
    assert built.inputs == (coins[0].outpoint, coins[1].outpoint)
