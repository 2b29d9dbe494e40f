"""What stops a batch before it is sent, each with its own words; and the unsigned transaction to the byte."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from payout_samples import CHANGE, make_coin, make_payout, outpoint, script_of, sign

from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from pool.payouts.batch import BuiltBatch, Change, PaidOutput
from pool.payouts.build import BatchMismatchError, SignedIds, build, verify_built, verify_signed
from pool.payouts.compose import Composition

PAYOUTS = (make_payout(1, 700_000), make_payout(2, 300_000))
COINS = (make_coin(1, 900_000), make_coin(2, 400_000))
WANTED = {"p1": (script_of(1), 700_000), "p2": (script_of(2), 300_000)}


def make_composition(**options: Any) -> Composition:
    values: dict[str, Any] = {
        "payouts": PAYOUTS, "nets": (699_990, 299_980), "coins": COINS, "change": 299_995, "fee": 35, "pool_fee": 5,
        "fee_rate": 1000,
    }  # fmt: skip
    return Composition(**(values | options))


BUILT = build(make_composition(), CHANGE, ("p1", "p2"))


def with_transaction(**change: Any) -> BuiltBatch:
    return dataclasses.replace(BUILT, raw=dataclasses.replace(parse_transaction(BUILT.raw), **change).serialize())


def test_payouts_build_makes_the_transaction_byte_by_byte() -> None:
    inputs = b"".join(
        number.to_bytes(32, "big") + bytes(4) + b"\x00" + b"\xfd\xff\xff\xff" for number in (1, 2)
    )
    outputs = b"".join(
        amount.to_bytes(8, "little") + b"\x16" + script
        for amount, script in ((699_990, script_of(1)), (299_980, script_of(2)), (299_995, CHANGE))
    )
    assert build(make_composition(), CHANGE, ("p1", "p0", "p2", "p3")) == BuiltBatch(
        raw=b"\x02\x00\x00\x00" + b"\x02" + inputs + b"\x03" + outputs + bytes(4),
        coins=COINS,
        outputs=(PaidOutput("p1", 0, 699_990, 10), PaidOutput("p2", 1, 299_980, 20)),
        change=Change(2, 299_995, CHANGE),
        fee=35,
        pool_fee=5,
        vsize=-(-(4 * (10 + 2 * 41 + 3 * 31) + 2 + 2 * 108) // 4),
        dropped=("p0", "p3"),
    )


def test_payouts_build_without_change_has_no_output_more() -> None:
    built = build(make_composition(change=0, coins=(make_coin(1, 1_000_005),)), CHANGE, ())
    assert built.change is None
    assert len(parse_transaction(built.raw).outputs) == 2
    least = build(make_composition(change=1, coins=(make_coin(1, 1_000_006),)), CHANGE, ())
    assert least.change == Change(2, 1, CHANGE)


def test_payouts_build_does_not_make_what_does_not_add_up() -> None:
    with pytest.raises(BatchMismatchError, match="differ by something else than the fee of 36"):
        build(make_composition(fee=36), CHANGE, ())
    with pytest.raises(ValueError, match="zip"):
        build(make_composition(nets=(699_990,)), CHANGE, ())


def refused(built: BuiltBatch, words: str, wanted: dict[str, tuple[bytes, int]] | None = None) -> None:
    with pytest.raises(BatchMismatchError, match=f"^{re.escape(words)}$"):
        verify_built(built, wanted or WANTED)


def test_payouts_build_verdict_on_inputs() -> None:
    words = "the inputs are not the chosen coins"
    one, two = parse_transaction(BUILT.raw).inputs
    refused(with_transaction(inputs=(two, one)), words)
    refused(with_transaction(inputs=(one,)), words)
    refused(with_transaction(inputs=(one, dataclasses.replace(two, previous_index=1))), words)
    twice = dataclasses.replace(BUILT, coins=(COINS[0], COINS[0]), raw=with_transaction(inputs=(one, one)).raw)
    refused(twice, words)


def test_payouts_build_verdict_on_bytes() -> None:
    with pytest.raises(BatchMismatchError, match=r"^not a transaction: .+") as error:
        verify_built(dataclasses.replace(BUILT, raw=b"\x00"), WANTED)
    assert error.value.__cause__ is not None
    assert str(error.value) == f"not a transaction: {error.value.__cause__}"


def paid(*outputs: tuple[str, int, int, int], fee: int = 35, pool_fee: int = 5, **options: Any) -> BuiltBatch:
    """The batch with other outputs, in the books and in the bytes."""
    made = tuple(PaidOutput(*each) for each in outputs)
    change = TxOut(299_995, CHANGE)
    raw_outputs = (*(TxOut(each.net, WANTED[each.payout_id][0]) for each in made), change)
    changed = with_transaction(outputs=raw_outputs)
    return dataclasses.replace(changed, outputs=made, fee=fee, pool_fee=pool_fee, **options)


@pytest.mark.parametrize(("net", "part"), [(699_990, 9), (699_990, 11), (0, 700_000), (700_001, -1)])
def test_payouts_build_verdict_on_net_and_fee_of_a_payout(net: int, part: int) -> None:
    fee = 5 + part + 20
    coins = (make_coin(1, net + 299_980 + 299_995 + fee - 400_000), COINS[1])
    built = paid(("p1", 0, net, part), ("p2", 1, 299_980, 20), fee=fee, coins=coins)
    refused(built, "payout p1: net and fee do not make 700000")


def test_payouts_build_verdict_allows_a_net_of_one_and_a_part_of_nothing() -> None:
    wanted = {"p1": (script_of(1), 1), "p2": (script_of(2), 300_000)}
    built = paid(("p1", 0, 1, 0), ("p2", 1, 300_000, 0), fee=0, pool_fee=0, coins=(make_coin(1, 199_996), COINS[1]))
    verify_built(built, wanted)


def test_payouts_build_verdict_on_payouts_left_out_or_twice() -> None:
    words = "the outputs do not pay every payout once"
    refused(paid(("p1", 0, 699_990, 10)), words)
    refused(paid(("p1", 0, 699_990, 10), ("p2", 1, 299_980, 20), ("p2", 2, 299_980, 20)), words)
    more = WANTED | {"p3": (script_of(3), 5)}
    refused(BUILT, words, more)


def test_payouts_build_verdict_on_outputs() -> None:
    words = "the outputs are not what was planned"
    one, two, change = parse_transaction(BUILT.raw).outputs
    refused(with_transaction(outputs=(two, one, change)), words)
    refused(with_transaction(outputs=(one, two)), words)
    refused(with_transaction(outputs=(one, two, change, TxOut(0, b""))), words)
    refused(with_transaction(outputs=(one, two, TxOut(299_994, CHANGE))), words)
    refused(with_transaction(outputs=(one, two, TxOut(299_995, script_of(5)))), words)
    refused(with_transaction(outputs=(TxOut(699_990, script_of(5)), two, change)), words)
    refused(dataclasses.replace(BUILT, change=None), words)
    refused(dataclasses.replace(BUILT, change=Change(3, 299_995, CHANGE)), words)
    refused(dataclasses.replace(BUILT, outputs=(PaidOutput("p1", 1, 699_990, 10), BUILT.outputs[1])), words)


def test_payouts_build_verdict_on_the_fee() -> None:
    for fee in (34, 36):
        refused(
            dataclasses.replace(BUILT, fee=fee), f"inputs and outputs differ by something else than the fee of {fee}"
        )
    words = "the parts of the fee do not add up"
    refused(dataclasses.replace(BUILT, pool_fee=4), words)
    refused(dataclasses.replace(BUILT, pool_fee=6), words)
    # Miners who pay more than the fee would leave the pool a negative part.
    refused(
        paid(
            ("p1", 0, 699_990, 10), ("p2", 1, 299_980, 20), fee=29, pool_fee=-1, coins=(make_coin(1, 899_994), COINS[1])
        ),
        words,
    )
    verify_built(
        paid(
            ("p1", 0, 699_990, 10), ("p2", 1, 299_980, 20), fee=30, pool_fee=0, coins=(make_coin(1, 899_995), COINS[1])
        ),
        WANTED,
    )


SIGNED = parse_transaction(sign(BUILT.raw))


def test_payouts_build_signed_ids_are_those_of_the_bytes() -> None:
    assert verify_signed(sign(BUILT.raw), BUILT) == SignedIds(SIGNED.txid, SIGNED.wtxid, BUILT.vsize)
    old = dataclasses.replace(
        SIGNED, inputs=tuple(dataclasses.replace(i, witness=(), script_sig=b"\x01\x02") for i in SIGNED.inputs)
    )
    ids = verify_signed(old.serialize(), BUILT)
    assert ids.txid == ids.wtxid == old.txid


def changed_input(**change: Any) -> Transaction:
    one, two = SIGNED.inputs
    return dataclasses.replace(SIGNED, inputs=(one, dataclasses.replace(two, **change)))


@pytest.mark.parametrize(
    ("signed", "words"),
    [
        (dataclasses.replace(SIGNED, version=1), "the wallet changed the transaction"),
        (dataclasses.replace(SIGNED, lock_time=1), "the wallet changed the transaction"),
        (dataclasses.replace(SIGNED, outputs=SIGNED.outputs[::-1]), "the wallet changed the transaction"),
        (dataclasses.replace(SIGNED, inputs=SIGNED.inputs[::-1]), "the wallet changed the inputs"),
        (dataclasses.replace(SIGNED, inputs=SIGNED.inputs[:1]), "the wallet changed the inputs"),
        (
            dataclasses.replace(SIGNED, inputs=(*SIGNED.inputs, TxIn(*outpoint(3), b"\x01"))),
            "the wallet changed the inputs",
        ),
        (changed_input(previous_txid=b"\x05" * 32), "the wallet changed the inputs"),
        (changed_input(previous_index=1), "the wallet changed the inputs"),
        (changed_input(sequence=0xFFFFFFFE), "the wallet changed the inputs"),
        (changed_input(witness=()), "the wallet did not sign every input"),
        (parse_transaction(BUILT.raw), "the wallet did not sign every input"),
    ],
)
def test_payouts_build_verdict_on_what_a_wallet_signed(signed: Transaction, words: str) -> None:
    with pytest.raises(BatchMismatchError, match=f"^{words}$"):
        verify_signed(signed.serialize(), BUILT)
