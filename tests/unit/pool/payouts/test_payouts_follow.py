"""What looks and answers mean for a signed batch: the chain decides, and the same bytes are sent until it does."""

from __future__ import annotations

import pytest
from payout_samples import make_batch

from chains.wallet import SendAnswer, SendResult, WalletTransaction
from pool.payouts.batch import BatchEvent, BatchState, StepRefusedError, after
from pool.payouts.follow import (
    Conflict,
    Follow,
    Look,
    after_send,
    follow,
    is_stuck,
    look_from,
    resend_due,
)

S, E = BatchState, BatchEvent
FINAL, MATURITY = 6, 100
FOREIGN = Conflict(b"\x01" * 32, 3)
DEEP = Conflict(b"\x01" * 32, MATURITY)


def seen(state: S, look: Look) -> Follow:
    return follow(make_batch(state), look, final=FINAL, maturity=MATURITY)


@pytest.mark.parametrize(
    ("state", "look", "event", "send"),
    [
        (S.SIGNED, Look(), None, True),
        (S.SIGNED, Look(1), E.CONFIRM, False),
        (S.SIGNED, Look(conflict=FOREIGN), E.CONFLICT, False),
        (S.BROADCAST, Look(), None, True),
        (S.BROADCAST, Look(1), E.CONFIRM, False),
        (S.BROADCAST, Look(FINAL), E.CONFIRM, False),
        (S.BROADCAST, Look(conflict=DEEP), E.CONFLICT, False),
        (S.CONFIRMING, Look(1), None, False),
        (S.CONFIRMING, Look(FINAL - 1), None, False),
        (S.CONFIRMING, Look(FINAL), E.SETTLE, False),
        (S.CONFIRMING, Look(), E.DROP, False),
        (S.CONFIRMING, Look(conflict=FOREIGN), E.CONFLICT, False),
        (S.SETTLED, Look(FINAL), None, False),
        (S.SETTLED, Look(FINAL - 1), E.REOPEN, False),
        (S.SETTLED, Look(), E.REOPEN, False),
        (S.SETTLED, Look(conflict=DEEP), E.REOPEN, False),
        (S.CONFLICTED, Look(), None, True),
        (S.CONFLICTED, Look(conflict=FOREIGN), None, False),
        (S.CONFLICTED, Look(conflict=Conflict(b"\x01" * 32, MATURITY - 1)), None, False),
        (S.CONFLICTED, Look(conflict=DEEP), E.VOID, False),
        (S.CONFLICTED, Look(conflict=Conflict(None, MATURITY)), E.HOLD, False),
        (S.CONFLICTED, Look(conflict=Conflict(b"\x01" * 32, MATURITY, ours=True)), E.HOLD, False),
        (S.CONFLICTED, Look(2), E.CONFIRM, False),
        (S.SETTLED, Look(FINAL, version=1), E.REOPEN, False),
        (S.CONFIRMING, Look(FINAL, version=1), E.SETTLE, False),
        (S.BROADCAST, Look(1, version=0), E.CONFIRM, False),
        (S.HOLD, Look(FINAL), None, False),
        (S.PLANNED, Look(FINAL), None, False),
        (S.BUILT, Look(), None, False),
        (S.VOID, Look(), None, False),
        (S.VOID, Look(conflict=DEEP), None, False),
    ],
)
def test_payouts_follow_a_look_means(state: S, look: Look, event: E | None, send: bool) -> None:
    step = seen(state, look)
    assert (step.event, step.send) == (event, send)
    if event is not None:
        after(state, event)  # the table has it


def test_payouts_follow_every_event_it_wants_is_in_the_table() -> None:
    conflicts = [None, FOREIGN, DEEP, Conflict(None, MATURITY), Conflict(b"\x02" * 32, MATURITY, True)]
    for state in S:
        for confirmations in (0, 1, FINAL - 1, FINAL, 500):
            for conflict in conflicts:
                step = seen(state, Look(confirmations, conflict=conflict))
                if step.event is not None:
                    try:
                        after(state, step.event)
                    except StepRefusedError:
                        pytest.fail(f"{state} {confirmations} {conflict}: {step.event}")


def test_incident_p08_a_payout_that_fell_out_of_its_block_is_followed_and_sent_again_as_the_same_bytes() -> None:
    step = seen(S.CONFIRMING, Look())
    assert step.event is E.DROP
    assert seen(after(S.CONFIRMING, E.DROP), Look()).send
    # Confirmations of -1 tell of a conflict that may go away again: nothing is planned anew until it is deep.
    conflicted = look_from(WalletTransaction(b"\x05" * 32, b"", -1, None, None), None)
    assert seen(S.CONFIRMING, conflicted).event is E.CONFLICT
    assert seen(S.CONFLICTED, conflicted) == Follow()


@pytest.mark.parametrize(
    ("confirmations", "expected"),
    [(3, Look(3, "ab", 7)), (0, Look(conflict=FOREIGN)), (-4, Look(conflict=FOREIGN))],
)
def test_payouts_follow_reads_a_wallets_answer(confirmations: int, expected: Look) -> None:
    block = ("ab", 7) if confirmations > 0 else (None, None)
    assert look_from(WalletTransaction(b"\x05" * 32, b"", confirmations, *block), FOREIGN) == expected


def test_payouts_follow_a_conflict_without_a_name_is_one_all_the_same() -> None:
    look = look_from(WalletTransaction(b"\x05" * 32, b"", -4, None, None), None)
    assert look.conflict == Conflict(None, 4)
    assert look_from(None, None) == Look()
    assert look_from(None, FOREIGN) == Look(conflict=FOREIGN)


GOOD = (SendResult.SENT, SendResult.KNOWN, SendResult.CONFIRMED)


@pytest.mark.parametrize("result", SendResult)
@pytest.mark.parametrize("state", [S.SIGNED, S.BROADCAST, S.CONFLICTED])
@pytest.mark.parametrize("found", [True, False])
def test_payouts_follow_an_answer_to_a_broadcast_means(result: SendResult, state: S, found: bool) -> None:
    step = after_send(state, SendAnswer(result, "words"), found=found)
    if result in GOOD:
        assert step.event is {S.SIGNED: E.SEND, S.BROADCAST: None, S.CONFLICTED: E.CLEAR}[state]
    elif result is SendResult.MISSING_INPUTS and not found and state is not S.CONFLICTED:
        assert step.event is E.CONFLICT
    else:
        assert step == Follow(words="words")
    if step.event is not None:
        after(state, step.event)


def test_incident_p01_missing_inputs_are_believed_only_when_our_own_transaction_is_nowhere() -> None:
    answer = SendAnswer(SendResult.MISSING_INPUTS, "bad-txns-inputs-missingorspent")
    assert after_send(S.SIGNED, answer, found=True).event is None
    assert after_send(S.SIGNED, answer, found=False).event is E.CONFLICT


def test_payouts_follow_sends_again_after_longer_and_longer_waits() -> None:
    assert resend_due(make_batch(S.SIGNED), 0)
    waits = []
    for sends in range(1, 9):
        batch = make_batch(S.BROADCAST, sends=sends, sent_ms=1_000_000)
        waits.append(next(ms for ms in range(0, 700_000, 1000) if resend_due(batch, 1_000_000 + ms)))
    assert waits == [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000, 600_000]
    assert resend_due(make_batch(S.BROADCAST, sends=3, sent_ms=1_000_000), 999_999)  # the clock went back
    assert not resend_due(make_batch(S.BROADCAST, sends=10**6, sent_ms=0), 1)


@pytest.mark.parametrize(
    ("state", "age_ms", "expected"),
    [
        (S.SIGNED, 3_599_999, False),
        (S.SIGNED, 3_600_000, True),
        (S.BROADCAST, 3_600_000, True),
        (S.CONFIRMING, 10**9, False),
        (S.CONFLICTED, 0, True),
        (S.HOLD, 0, True),
        (S.SETTLED, 10**9, False),
        (S.PLANNED, 10**9, False),
    ],
)
def test_payouts_follow_tells_what_is_stuck(state: S, age_ms: int, expected: bool) -> None:
    assert is_stuck(make_batch(state, created_ms=50), 50 + age_ms) is expected


def test_payouts_follow_what_took_the_place_of_another_has_an_hour_of_its_own() -> None:
    batch = make_batch(S.BROADCAST, created_ms=50, replaced_ms=3_000_050)
    assert not is_stuck(batch, 3_600_050)
    assert is_stuck(batch, 6_600_050)
