"""The block rules as a table: one mutation, the reason word that the real node gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chains.primitives.merkle import merkle_root
from chains.primitives.script import height_push
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.reference.block import Block
from chains.reference.checks import check_transaction, with_coinbase_witness

Bench = Any


def _script_sig(coinbase: Transaction, script_sig: bytes) -> Transaction:
    return replace(coinbase, inputs=(replace(coinbase.inputs[0], script_sig=script_sig),))


def _witness(coinbase: Transaction, *stack: bytes) -> Transaction:
    return replace(coinbase, inputs=(replace(coinbase.inputs[0], witness=stack),))


def _value(coinbase: Transaction, more_sat: int) -> Transaction:
    first = replace(coinbase.outputs[0], amount_sat=coinbase.outputs[0].amount_sat + more_sat)
    return replace(coinbase, outputs=(first, *coinbase.outputs[1:]))


def _commitment(coinbase: Transaction, script: bytes) -> Transaction:
    return replace(coinbase, outputs=(coinbase.outputs[0], TxOut(0, script)))


def _locked(coinbase: Transaction, lock_time: int) -> Transaction:
    return replace(coinbase, lock_time=lock_time, inputs=(replace(coinbase.inputs[0], sequence=0),))


def _unsolved(bench: Bench, block: Block) -> Block:
    header = block.header
    while meets(header.hash, 0x7FFFFF << 232):
        header = replace(header, nonce=header.nonce + 1)
    return replace(block, header=header)


def _second_coinbase(bench: Bench, block: Block) -> Block:
    return bench.rooted(replace(block, transactions=(*block.transactions, _value(block.coinbase, -1))))


def _same_root_twice(bench: Bench, block: Block) -> Block:
    """CVE-2012-2459: the last of an odd row repeated gives the same root."""
    sends = []
    for _ in range(2):
        sends.append(bench.node.wallet.pay([TxOut(1000, b"\x51")]))
        bench.node.mempool.add(sends[-1], bench.clock())
    base = bench.mined(bench.node.build_block(b"\x51", transactions=sends))
    return replace(base, transactions=(*base.transactions, base.transactions[-1]))


def _height(bench: Bench) -> int:
    return int(bench.node.chain.tip.height)


TABLE: dict[str, tuple[Callable[[Bench, Block], Block], str | None]] = {
    "sound": (lambda bench, block: block, None),
    "no proof of work": (_unsolved, "high-hash"),
    "another target": (lambda bench, block: bench.header(block, bits=0x207FFFFE), "bad-diffbits"),
    "target beyond the limit": (lambda bench, block: bench.header(block, bits=0x2100FFFF), "high-hash"),
    "time at the median": (
        lambda bench, block: bench.header(block, time=bench.node.chain.median_time(bench.node.chain.tip)),
        "time-too-old",
    ),
    "time just past the median": (
        lambda bench, block: bench.header(block, time=bench.node.chain.median_time(bench.node.chain.tip) + 1),
        None,
    ),
    "two hours ahead": (lambda bench, block: bench.header(block, time=bench.clock() + 7200), None),
    "more than two hours ahead": (lambda bench, block: bench.header(block, time=bench.clock() + 7201), "time-too-new"),
    "version 3": (lambda bench, block: bench.header(block, version=3), "bad-version(0x00000003)"),
    "every BIP320 bit": (lambda bench, block: bench.header(block, version=0x20000000 | 0x1FFFE000), None),
    "unknown parent": (lambda bench, block: bench.header(block, previous_hash=b"\x07" * 32), "prev-blk-not-found"),
    "merkle root": (lambda bench, block: bench.header(block, merkle_root=bytes(32)), "bad-txnmrklroot"),
    "transactions repeated": (_same_root_twice, "bad-txns-duplicate"),
    "height + 1": (
        lambda bench, block: bench.coinbase(
            block, lambda cb: _script_sig(cb, height_push(_height(bench) + 2) + b"\x01\x01")
        ),
        "bad-cb-height",
    ),
    "scriptSig of 101 bytes": (
        lambda bench, block: bench.coinbase(
            block, lambda cb: _script_sig(cb, (height_push(_height(bench) + 1) + bytes(101))[:101])
        ),
        "bad-cb-length",
    ),
    "scriptSig of 100 bytes": (
        lambda bench, block: bench.coinbase(
            block, lambda cb: _script_sig(cb, (height_push(_height(bench) + 1) + bytes(100))[:100])
        ),
        None,
    ),
    "value + 1": (lambda bench, block: bench.coinbase(block, lambda cb: _value(cb, 1)), "bad-cb-amount"),
    "value - 1": (lambda bench, block: bench.coinbase(block, lambda cb: _value(cb, -1)), None),
    "no coinbase": (
        lambda bench, block: bench.rooted(
            replace(block, transactions=(bench.node.wallet.pay([TxOut(1000, b"\x51")]),))
        ),
        "bad-cb-missing",
    ),
    "two coinbases": (_second_coinbase, "bad-cb-multiple"),
    "wrong commitment": (
        lambda bench, block: bench.coinbase(
            block, lambda cb: _commitment(cb, bytes.fromhex("6a24aa21a9ed") + b"\x01" * 32)
        ),
        "bad-witness-merkle-match",
    ),
    "wrong reserved value": (
        lambda bench, block: bench.coinbase(block, lambda cb: _witness(cb, b"\x01" * 32)),
        "bad-witness-merkle-match",
    ),
    "reserved value of 31 bytes": (
        lambda bench, block: bench.coinbase(block, lambda cb: _witness(cb, bytes(31))),
        "bad-witness-nonce-size",
    ),
    "commitment without witness": (
        lambda bench, block: bench.coinbase(block, lambda cb: _witness(cb)),
        "bad-witness-nonce-size",
    ),
    "witness without commitment": (
        lambda bench, block: bench.coinbase(block, lambda cb: replace(cb, outputs=cb.outputs[:1])),
        "unexpected-witness",
    ),
    "neither commitment nor witness": (
        lambda bench, block: bench.coinbase(
            block, lambda cb: _witness(replace(cb, outputs=cb.outputs[:1]))
        ),
        None,
    ),
    "commitment first": (
        lambda bench, block: bench.coinbase(block, lambda cb: replace(cb, outputs=cb.outputs[::-1])),
        None,
    ),
    "locked to its own height": (
        lambda bench, block: bench.coinbase(block, lambda cb: _locked(cb, _height(bench) + 1)),
        "bad-txns-nonfinal",
    ),
    "locked to the height before": (
        lambda bench, block: bench.coinbase(block, lambda cb: _locked(cb, _height(bench))),
        None,
    ),
    "coinbase without outputs": (
        lambda bench, block: bench.coinbase(block, lambda cb: replace(cb, outputs=())),
        "bad-txns-vout-empty",
    ),
    "output beyond all money": (
        lambda bench, block: bench.coinbase(block, lambda cb: _value(cb, 21_000_000 * 10**8)),
        "bad-txns-vout-toolarge",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_reference_rules_submitted_block(bench: Bench, case: str) -> None:
    bench.fund()
    mutate, reason = TABLE[case]
    block = mutate(bench, bench.block())
    tip = bench.node.chain.tip
    assert bench.node.submit(block) == reason
    assert (bench.node.chain.tip is tip) == (reason is not None)


NOT_PROPOSED = ("no proof of work", "target beyond the limit")  # a proposal's work is not looked at


@pytest.mark.parametrize("case", [name for name in TABLE if name not in NOT_PROPOSED])
def test_reference_rules_proposal_agrees_and_leaves_the_chain(bench: Bench, case: str) -> None:
    bench.fund()
    mutate, reason = TABLE[case]
    block = mutate(bench, bench.block())
    tip = bench.node.chain.tip
    if reason == "prev-blk-not-found":
        reason = "inconclusive-not-best-prevblk"
    assert bench.node.propose(block) == reason
    assert bench.node.chain.tip is tip
    assert len(bench.node.chain) == tip.height + 1


def test_reference_rules_proposal_needs_no_work(bench: Bench) -> None:
    bench.fund()
    assert bench.node.propose(_unsolved(bench, bench.block())) is None


def test_reference_rules_missing_coinbase_witness_is_put_back_by_submit_only(bench: Bench) -> None:
    bench.fund()
    bare = TABLE["commitment without witness"][0](bench, bench.block())
    assert bench.node.propose(bare) == "bad-witness-nonce-size"
    repaired = with_coinbase_witness(bare)
    assert repaired.header == bare.header
    assert bench.node.submit(repaired) is None


def test_reference_rules_same_block_again_is_duplicate(bench: Bench) -> None:
    block = bench.block()
    assert bench.node.submit(block) is None
    assert bench.node.submit(block) == "duplicate"
    assert bench.node.propose(block) == "duplicate"


def test_reference_rules_refused_for_its_coins_is_duplicate_invalid_later(bench: Bench) -> None:
    block = TABLE["value + 1"][0](bench, bench.block())
    assert bench.node.submit(block) == "bad-cb-amount"
    assert bench.node.submit(block) == "duplicate-invalid"


def test_reference_rules_mutated_bytes_do_not_taint_the_header(bench: Bench) -> None:
    good = bench.block()
    bad = replace(good, transactions=(_witness(good.coinbase, b"\x01" * 32),))
    assert bad.header.hash == good.header.hash
    assert bench.node.submit(bad) == "bad-witness-merkle-match"
    assert bench.node.submit(good) is None


def test_reference_rules_block_on_a_refused_one(bench: Bench) -> None:
    refused = TABLE["value + 1"][0](bench, bench.block())
    bench.node.submit(refused)
    child = bench.header(bench.block(), previous_hash=refused.header.hash)
    assert bench.node.submit(child) == "bad-prevblk"


def test_reference_rules_lost_race_is_inconclusive(bench: Bench) -> None:
    ours, theirs = bench.block(), bench.block()
    assert ours != theirs
    assert bench.node.submit(theirs) is None
    assert bench.node.submit(ours) == "inconclusive"
    assert bench.node.propose(bench.header(ours, nonce=ours.header.nonce)) == "duplicate"
    assert bench.node.chain.tip.hash == theirs.header.hash


# Spending


def _spend(bench: Bench, change: Callable[[Transaction], Transaction] = lambda t: t) -> Block:
    payment = change(bench.node.wallet.pay([TxOut(1000, b"\x51")]))
    return bench.mined(bench.node.build_block(b"\x51", transactions=[payment]))


def _bad_signature(payment: Transaction) -> Transaction:
    source = payment.inputs[0]
    signature = bytearray(source.witness[0])
    signature[10] ^= 1
    return replace(payment, inputs=(replace(source, witness=(bytes(signature), source.witness[1])),))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t, None),
        (lambda t: replace(t, outputs=(TxOut(60 * 10**8, b"\x51"),)), "bad-txns-in-belowout"),
        (lambda t: replace(t, inputs=(replace(t.inputs[0], previous_index=7),)), "bad-txns-inputs-missingorspent"),
        (lambda t: replace(t, inputs=t.inputs * 2), "bad-txns-inputs-duplicate"),
        (lambda t: replace(t, inputs=()), "bad-txns-vin-empty"),
        (_bad_signature, "mandatory-script-verify-flag-failed"),
        (lambda t: replace(t, outputs=(TxOut(999, b"\x51"),)), "mandatory-script-verify-flag-failed"),
        (lambda t: replace(t, inputs=(replace(t.inputs[0], witness=()),)), "mandatory-script-verify-flag-failed"),
        (lambda t: replace(t, inputs=(replace(t.inputs[0], sequence=5),)), "bad-txns-nonfinal"),
    ],
)
def test_reference_rules_spending(
    bench: Bench, change: Callable[[Transaction], Transaction], reason: str | None
) -> None:
    bench.fund()
    if reason == "bad-txns-vin-empty":
        # A transaction without inputs has no wire form of its own (BIP144), so only the rule itself can be asked.
        assert check_transaction(change(bench.node.wallet.pay([TxOut(1000, b"\x51")]))) == reason
        return
    answer = bench.node.submit(_spend(bench, change))
    assert (answer or "").split(" ")[0] == (reason or "")


def test_reference_rules_one_coin_twice_in_a_block(bench: Bench) -> None:
    bench.fund()
    one = bench.node.wallet.pay([TxOut(1000, b"\x51")])
    other = bench.node.wallet.pay([TxOut(2000, b"\x51")])
    assert one.inputs[0].previous_txid == other.inputs[0].previous_txid
    block = bench.mined(bench.node.build_block(b"\x51", transactions=[one, other]))
    assert bench.node.submit(block) == "bad-txns-inputs-missingorspent"


def test_reference_rules_coinbase_maturity(bench: Bench) -> None:
    bench.fund(10)
    wallet = bench.node.wallet
    assert wallet.spendable() == []  # the wallet waits one block longer than the rule
    coin = min(wallet.coins(), key=lambda item: item[1].height)
    fake = Transaction(2, (TxIn(*coin[0], b"", 0xFFFFFFFD),), (TxOut(1000, b"\x51"),))
    signed = wallet._sign([coin], list(fake.outputs))
    assert bench.node.chain.coins.check_inputs(signed, 10, {}, {})[0] == "bad-txns-premature-spend-of-coinbase"
    assert bench.node.chain.coins.check_inputs(signed, 11, {}, {})[0] is None


def test_reference_rules_fees_belong_to_the_coinbase(bench: Bench) -> None:
    bench.fund()
    bench.node.send([TxOut(1000, b"\x51")])
    fee_sat = next(iter(bench.node.mempool)).fee_sat
    block = bench.block()
    assert fee_sat > 0
    assert block.coinbase.outputs[0].amount_sat == 50 * 10**8 + fee_sat
    assert bench.node.submit(bench.coinbase(block, lambda cb: _value(cb, 1))) == "bad-cb-amount"
    assert bench.node.submit(block) is None


def test_reference_rules_p2pkh_on_a_chain_without_segwit(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(witness=False)
    bench.fund()
    block = _spend(bench)
    assert not block.coinbase.inputs[0].witness
    assert merkle_root([t.txid for t in block.transactions]) == block.header.merkle_root
    assert bench.node.submit(block) is None
    forged = _spend(bench, lambda t: replace(t, outputs=(TxOut(999, b"\x51"),)))
    assert (bench.node.submit(forged) or "").startswith("mandatory-script-verify-flag-failed")
