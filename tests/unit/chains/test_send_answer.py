"""Words of real daemons for a transaction that was sent, and what each means for a payout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chains.send_answer import NODE_TROUBLE, already_there, best, classify, is_known_refusal
from chains.wallet import SendAnswer, SendResult

FIXTURES = Path(__file__).parents[2] / "fixtures" / "namecoin-regtest"
SENT, KNOWN, CONFIRMED = SendResult.SENT, SendResult.KNOWN, SendResult.CONFIRMED
MISSING, FEE, REJECTED = SendResult.MISSING_INPUTS, SendResult.FEE_TOO_LOW, SendResult.REJECTED

# (daemon, code, message, meaning)
WORDS = [
    ("0.14", -27, "transaction already in block chain", CONFIRMED),
    ("litecoind 0.21", -27, "Transaction already in block chain", CONFIRMED),
    ("30", -27, "Transaction outputs already in utxo set", CONFIRMED),
    ("a later one", -27, "words of another year", CONFIRMED),
    ("litecoind 0.21, testmempoolaccept", -26, "txn-already-known", CONFIRMED),
    ("0.14", -26, "257: txn-already-known", CONFIRMED),
    ("0.18", -26, "txn-already-in-mempool (code 18)", KNOWN),
    ("0.18", -25, "Transaction already in mempool", KNOWN),
    ("30", -26, "txn-same-nonwitness-data-in-mempool", KNOWN),
    ("0.14", -25, "Missing inputs", MISSING),
    ("litecoind 0.21", -25, "bad-txns-inputs-missingorspent", MISSING),
    ("litecoind 0.21, testmempoolaccept", -26, "missing-inputs", MISSING),
    ("0.14", -26, "16: bad-txns-inputs-spent", MISSING),
    ("litecoind 0.21", -26, "txn-mempool-conflict", MISSING),
    ("0.14", -26, "258: txn-mempool-conflict", MISSING),
    ("30", -26, "bad-txns-spends-conflicting-tx, aa spends conflicting transaction bb", MISSING),
    ("0.14", -26, "66: min relay fee not met", FEE),
    ("litecoind 0.21", -26, "min relay fee not met, 0 < 110", FEE),
    ("litecoind 0.21", -26, "mempool min fee not met, 110 < 1000", FEE),
    ("30", -26, "mempool full", FEE),
    ("30", -26, "insufficient fee, rejecting replacement aa; new feerate 1 <= old feerate 1", FEE),
    ("0.14", -26, "66: insufficient priority", FEE),
    ("litecoind 0.21", -25, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)", REJECTED),
    ("0.14", -26, "256: absurdly-high-fee", REJECTED),
    ("litecoind 0.21", -26, "non-mandatory-script-verify-flag (Signature must be zero)", REJECTED),
    ("0.14", -26, "16: mandatory-script-verify-flag-failed (Operation not valid)", REJECTED),
    ("30", -26, "dust, tx with dust output must be 0-fee", REJECTED),
    ("30", -26, "too-long-mempool-chain, too many unconfirmed ancestors [limit: 25]", REJECTED),
    ("30", -26, "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 9", REJECTED),
    ("30", -22, "TX decode failed. Make sure the tx has at least one input.", REJECTED),
]


@pytest.mark.parametrize(("daemon", "code", "message", "meaning"), WORDS, ids=[f"{w[0]}: {w[2][:40]}" for w in WORDS])
def test_send_answer_reads_the_words_of_every_age(daemon: str, code: int, message: str, meaning: SendResult) -> None:
    answer = classify(code, message)
    assert answer == SendAnswer(meaning, f"{message} ({code})")
    assert meaning is not REJECTED or is_known_refusal(answer.reason)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("already_in_chain", CONFIRMED), ("min_relay_fee_not_met", FEE)],
)
def test_send_answer_recorded_from_namecoin(name: str, meaning: SendResult) -> None:
    recorded = json.loads((FIXTURES / f"sendrawtransaction_{name}.json").read_text())["response"]["error"]
    answer = classify(recorded["code"], recorded["message"])
    assert answer is not None and answer.result is meaning


@pytest.mark.parametrize("code", sorted(NODE_TROUBLE))
def test_send_answer_trouble_of_the_node_is_an_outage(code: int) -> None:
    assert classify(code, "txn-mempool-conflict") is None


@pytest.mark.parametrize("code", [-26, -25, -22, -8, -4, -1, 0, 7])
@pytest.mark.parametrize("message", ["", "no idea", "Transaction rejected by the weather"])
def test_send_answer_unknown_words_are_kept(code: int, message: str) -> None:
    answer = classify(code, message)
    assert answer == SendAnswer(REJECTED, f"{message} ({code})")
    assert not is_known_refusal(message)


def test_send_answer_best_of_several_nodes() -> None:
    """Whatever the order of the nodes: one that has it counts before one that refuses, and of the refusals the one
    that leaves the most hope."""
    order = (CONFIRMED, SENT, KNOWN, FEE, MISSING, REJECTED)
    assert set(order) == set(SendResult)
    for position, result in enumerate(order):
        answers = [SendAnswer(r, r.value) for r in order[position:]]
        assert best(answers).result is result
        assert best(answers[::-1]).result is result
    first = SendAnswer(REJECTED, "first")
    assert best([first, SendAnswer(REJECTED, "second")]) is first


@pytest.mark.parametrize("reason", ["txn-already-in-mempool", "txn-already-known", "257: txn-already-known"])
def test_send_answer_a_node_that_has_it_would_take_it(reason: str) -> None:
    assert already_there(reason)


@pytest.mark.parametrize("reason", ["missing-inputs", "min relay fee not met", "max-fee-exceeded", ""])
def test_send_answer_other_refusals_are_refusals(reason: str) -> None:
    assert not already_there(reason)
