"""What log, books and operator are told about each step of a signed batch; and the waits at their edges."""

from __future__ import annotations

import pytest
from payout_samples import make_batch

from chains.wallet import SendAnswer, SendResult, WalletTransaction
from pool.payouts.batch import BatchEvent, BatchState
from pool.payouts.follow import Conflict, Follow, Look, after_send, follow, look_from, resend_due

S, E = BatchState, BatchEvent
NAME = "0f" * 15 + "22" * 2 + "0e" * 15
TXID = bytes.fromhex(NAME)[::-1]


@pytest.mark.parametrize(
    ("state", "look", "event", "words"),
    [
        (S.SETTLED, Look(), E.REOPEN, "a reorg took a settled transaction out of the chain"),
        (S.SETTLED, Look(5), E.REOPEN, "a reorg left 5 confirmations"),
        (S.CONFIRMING, Look(), E.DROP, "its block left the chain"),
        (S.SIGNED, Look(conflict=Conflict(TXID, 3)), E.CONFLICT, f"an input is spent by {NAME}, 3 deep"),
        (S.SIGNED, Look(conflict=Conflict(None, 1)), E.CONFLICT, "an input is spent by an unknown transaction, 1 deep"),
        (S.CONFLICTED, Look(conflict=Conflict(TXID, 100)), E.VOID, f"an input is spent by {NAME}, 100 deep"),
        (
            S.CONFLICTED, Look(conflict=Conflict(TXID, 100, ours=True)), E.HOLD,
            f"an input is spent by {NAME}, 100 deep, a transaction of another batch of ours",
        ),
        (
            S.CONFLICTED, Look(conflict=Conflict(None, 100)), E.HOLD,
            "an input is spent for good by a transaction that the wallet cannot name",
        ),
        (S.SIGNED, Look(1), E.CONFIRM, ""),
        (S.CONFIRMING, Look(6), E.SETTLE, ""),
    ],
)  # fmt: skip
def test_payouts_follow_says_what_happened(state: S, look: Look, event: E, words: str) -> None:
    assert follow(make_batch(state), look, final=6, maturity=100) == Follow(event, False, words)


def test_payouts_follow_says_why_inputs_are_gone() -> None:
    answer = SendAnswer(SendResult.MISSING_INPUTS, "bad-txns-inputs-missingorspent")
    assert after_send(S.SIGNED, answer, found=False) == Follow(
        E.CONFLICT, words="an input is gone: bad-txns-inputs-missingorspent"
    )


@pytest.mark.parametrize(
    ("confirmations", "look"),
    [(0, Look()), (1, Look(1, "ab", 7)), (-1, Look(conflict=Conflict(None, 1)))],
)
def test_payouts_follow_an_answer_on_the_edge_of_confirmed_and_conflicted(confirmations: int, look: Look) -> None:
    assert look_from(WalletTransaction(TXID, b"", confirmations, "ab", 7), None) == look


@pytest.mark.parametrize(
    ("sends", "wait_ms"), [(0, 30_000), (1, 30_000), (2, 60_000), (5, 480_000), (6, 600_000), (7, 600_000)]
)
def test_payouts_follow_sends_again_at_the_very_millisecond(sends: int, wait_ms: int) -> None:
    batch = make_batch(S.BROADCAST, sends=sends, sent_ms=5_000)
    assert not resend_due(batch, 5_000 + wait_ms - 1)
    assert resend_due(batch, 5_000 + wait_ms)
    assert not resend_due(batch, 5_000)
    assert resend_due(batch, 4_999)
