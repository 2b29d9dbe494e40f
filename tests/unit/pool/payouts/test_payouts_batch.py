"""The states of a batch: every pair of state and event, by the table and nothing else."""

from __future__ import annotations

import pytest
from payout_samples import make_batch

from pool.payouts.batch import (
    EXCLUSIVE,
    FINAL,
    HOLDABLE,
    IN_FLIGHT,
    TRANSITIONS,
    BatchEvent,
    BatchState,
    StepRefusedError,
    after,
    allowed_steps,
)

S, E = BatchState, BatchEvent


def test_payouts_batch_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(BatchState)
    assert frozenset({S.PLANNED, S.BUILT, S.SIGNED}) == EXCLUSIVE
    assert frozenset({S.SETTLED, S.VOID}) == FINAL
    assert set(BatchState) == EXCLUSIVE | IN_FLIGHT | FINAL | {S.HOLD}


@pytest.mark.parametrize("state", BatchState)
@pytest.mark.parametrize("event", [event for event in BatchEvent if event is not BatchEvent.RELEASE])
def test_payouts_batch_an_event_leads_where_the_table_says_or_is_refused(state: S, event: E) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
        assert (state, after(state, event)) in allowed_steps() or after(state, event) is state
    else:
        with pytest.raises(StepRefusedError, match=f"{state} has no step {event}"):
            after(state, event)


def test_payouts_batch_the_way_without_trouble() -> None:
    state = S.PLANNED
    for event in (E.BUILD, E.SIGN, E.SEND, E.CONFIRM, E.SETTLE):
        state = after(state, event)
    assert state is S.SETTLED


def test_payouts_batch_what_was_signed_is_never_planned_or_built_again() -> None:
    """From signed on no way leads back to planned or built, hold aside; and hold gives a batch back where it was."""
    reached, fresh = {S.SIGNED}, {S.SIGNED}
    while fresh:
        fresh = {to for came, to in allowed_steps() if came in fresh and came is not S.HOLD} - reached
        reached |= fresh
    assert not reached & {S.PLANNED, S.BUILT}


def test_payouts_batch_signed_or_sent_is_never_void_but_by_a_conflict_or_an_operator() -> None:
    assert {came for came, to in allowed_steps() if to is S.VOID} == {
        S.PLANNED, S.BUILT, S.CONFLICTED, S.HOLD,
    }  # fmt: skip


def test_payouts_batch_a_further_transaction_is_for_what_waits_and_moves_nothing() -> None:
    assert {state for state in S if E.REPLACE in TRANSITIONS[state]} == {S.SIGNED, S.BROADCAST}
    assert all(after(state, E.REPLACE) is state for state in (S.SIGNED, S.BROADCAST))
    assert [make_batch(state).replaceable for state in (S.SIGNED, S.BROADCAST, S.CONFIRMING)] == [True, True, False]


@pytest.mark.parametrize("state", sorted(HOLDABLE))
def test_payouts_batch_a_held_one_goes_back_where_it_was(state: S) -> None:
    assert after(state, E.HOLD) is S.HOLD
    assert after(S.HOLD, E.RELEASE, held_from=state) is state


@pytest.mark.parametrize("state", [S.SETTLED, S.VOID, S.HOLD, None])
def test_payouts_batch_a_held_one_goes_nowhere_else(state: S | None) -> None:
    with pytest.raises(StepRefusedError, match="cannot be released"):
        after(S.HOLD, E.RELEASE, held_from=state)


def test_payouts_batch_release_is_for_held_ones_only() -> None:
    with pytest.raises(StepRefusedError):
        after(S.SIGNED, E.RELEASE, held_from=S.SIGNED)
