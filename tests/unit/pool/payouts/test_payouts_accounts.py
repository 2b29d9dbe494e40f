"""Payments of an account: what a transfer is made of, that it pays what was planned, its fee, and what it claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from coincurve import PrivateKey
from payout_samples import make_batch
from support.payout_world import ACCOUNT_TERMS, make_terms

from chains.accounts.coins import nonce_name
from chains.accounts.transfer import MAX_OUTPUTS, Payment, Transfer, read_transfer, sign
from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.serialize import MalformedError
from chains.wallet import Coin, Outpoint, Turn
from pool.payouts.batch import BatchKind, BatchState, BuiltBatch, Change, FeePolicy, PaidOutput, Payout
from pool.payouts.build import BatchMismatchError
from pool.payouts.build_transfer import build, turn_of, verify_built, verify_signed
from pool.payouts.compose import Composition, Postponed, Wait, compose
from pool.payouts.form import ACCOUNT, COINS, form_of
from pool.payouts.orders import order_obstacle
from pool.payouts.purse import AccountPurse, load_of
from pool.payouts.replace import ReplaceRefusedError, check_replaceable
from pool.payouts.sizes import output_size, transfer_size

SECRET = bytes(31) + b"\x07"
KEY = PrivateKey(SECRET).public_key.format()
SCRIPT = pay_to_pubkey_hash(KEY)
CHAIN_ID = b"\x11" * 32
TURN = Turn(CHAIN_ID, SCRIPT, KEY, 4)
TERMS = make_terms(**ACCOUNT_TERMS, max_fee_ppm=100_000)


def coin(number: int, amount: int) -> Coin:
    return Coin(Outpoint(bytes((number,)) * 32, 0), amount, SCRIPT, 20, True)


def payout(number: int, gross: int) -> Payout:
    return Payout(f"p{number}", number, f"a{number}", b"\x00\x14" + number.to_bytes(20, "big"), gross, 10_000)


COINS_AT_HAND = (coin(1, 600_000), coin(2, 400_000))
PAYOUTS = (payout(1, 500_000), payout(2, 300_000))


def composed(policy: FeePolicy = FeePolicy.POOL, **options: object) -> Composition | Postponed:
    values: dict[str, object] = {
        "fee_policy": policy, "fee_rate": 1000, "change_script": SCRIPT, "pool_budget": 10_000
    }  # fmt: skip
    return compose(BatchKind.PAYOUT, PAYOUTS, COINS_AT_HAND, TERMS, **(values | options))  # type: ignore[arg-type]


def built(policy: FeePolicy = FeePolicy.POOL) -> BuiltBatch:
    found = composed(policy)
    assert isinstance(found, Composition)
    return build(found, TURN, tuple(one.id for one in PAYOUTS))


LEFT = 200_000 - built().fee
WANTED = {one.id: (one.script, one.gross) for one in PAYOUTS}


def test_payouts_account_transfer_takes_all_coins_and_pays_by_its_bytes() -> None:
    batch = built()
    transfer = read_transfer(batch.raw[32:], signed=False)
    assert batch.raw[:32] == CHAIN_ID
    assert (transfer.sender, transfer.public_key, transfer.nonce) == (SCRIPT, KEY, 4)
    assert [(one.script, one.amount) for one in transfer.outputs] == [(p.script, p.gross) for p in PAYOUTS]
    size = len(batch.raw) - 32 + 64
    assert batch.fee == batch.pool_fee == batch.vsize == transfer.fee == size, "1000 per 1000 bytes"
    assert batch.coins == COINS_AT_HAND
    assert batch.change == Change(2, 1_000_000 - 800_000 - size, SCRIPT)
    assert batch.outputs == (PaidOutput("p1", 0, 500_000, 0), PaidOutput("p2", 1, 300_000, 0))


def test_payouts_account_miners_bear_the_fee_in_proportion_and_may_take_all() -> None:
    batch = built(FeePolicy.MINER)
    assert batch.pool_fee == 0 and sum(output.fee_part for output in batch.outputs) == batch.fee
    assert [output.net + output.fee_part for output in batch.outputs] == [500_000, 300_000]
    assert batch.change is not None and batch.change.amount == 200_000
    exact = composed(FeePolicy.MINER)
    assert isinstance(exact, Composition)
    all_of_it = compose(
        BatchKind.PAYOUT, (payout(1, 1_000_000),), COINS_AT_HAND, TERMS, fee_policy=FeePolicy.MINER, fee_rate=1000,
        change_script=SCRIPT, pool_budget=0,
    )  # fmt: skip
    assert isinstance(all_of_it, Composition) and all_of_it.change == 0
    assert build(all_of_it, TURN, ("p1",)).change is None


@pytest.mark.parametrize(
    ("options", "wait"),
    [({"pool_budget": 100}, Wait.POOL_EQUITY), ({"fee_rate": 10**6}, Wait.FEE_SHARE)],
)
def test_payouts_account_waits_for_the_operators_money_and_for_fees(options: dict[str, int], wait: Wait) -> None:
    found = composed(**(options | ({"pool_budget": 10**9} if wait is Wait.FEE_SHARE else {})))
    assert isinstance(found, Postponed) and found.wait is wait


def test_payouts_account_purse_holds_what_it_holds() -> None:
    def fits(gross: int, policy: FeePolicy = FeePolicy.POOL) -> bool:
        purse = AccountPurse(
            COINS_AT_HAND, TERMS, fee_policy=policy, fee_rate=1000, change_script=SCRIPT, pool_budget=10_000
        )
        return purse.fit(load_of([payout(1, gross)])) is not None

    fee = transfer_size(SCRIPT, 1, output_size(payout(1, 1).script))
    assert fits(1_000_000 - fee) and not fits(1_000_000 - fee + 1)
    assert fits(1_000_000, FeePolicy.MINER) and not fits(1_000_001, FeePolicy.MINER)


@pytest.mark.parametrize("count", [1, 252, 253, MAX_OUTPUTS])
def test_payouts_account_size_is_that_of_the_signed_transfer(count: int) -> None:
    outputs = tuple(Payment(b"\x51\x20" + bytes(32), 1) for _ in range(count))
    transfer = sign(Transfer(SCRIPT, KEY, 0, 0, outputs), CHAIN_ID, SECRET)
    assert len(transfer.serialize()) == transfer_size(SCRIPT, count, sum(output_size(one.script) for one in outputs))


def bent(**changes: object) -> BuiltBatch:
    batch = built()
    transfer = read_transfer(batch.raw[32:], signed=False)
    return replace(batch, raw=CHAIN_ID + replace(transfer, **changes).unsigned())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (bent(outputs=(Payment(PAYOUTS[0].script, 800_000),)), "not what was planned"),
        (bent(outputs=(Payment(PAYOUTS[0].script, 500_001), Payment(PAYOUTS[1].script, 299_999))), "not what"),
        (bent(outputs=tuple(Payment(SCRIPT, amount) for amount in (500_000, 300_000))), "not what was planned"),
        (bent(fee=1), "the transfer's fee is 1, not"),
        (replace(built(), raw=b"\x11" * 40), "not a transfer"),
        (replace(built(), coins=(coin(1, 500_000), coin(1, 500_000))), "a coin is taken twice"),
        (replace(built(), coins=COINS_AT_HAND[:1]), "the coins leave"),
        (replace(built(), change=None), "the change is something else"),
        (replace(built(), change=Change(1, LEFT, SCRIPT)), "not the account's"),
        (replace(built(), change=Change(2, LEFT, b"\x51")), "not the account's"),
        (replace(built(), pool_fee=1), "the parts of the fee do not add up"),
        (replace(built(), outputs=built().outputs[:1]), "do not pay every payout once"),
        (replace(built(), outputs=(PaidOutput("p1", 0, 500_000, 1), built().outputs[1])), "net and fee do not make"),
    ],
)
def test_payouts_account_transfer_that_pays_anything_else_is_refused(batch: BuiltBatch, words: str) -> None:
    verify_built(built(), WANTED)
    with pytest.raises(BatchMismatchError, match=words):
        verify_built(batch, WANTED)


def test_payouts_account_signature_is_judged_and_changes_nothing() -> None:
    batch = built()
    transfer = read_transfer(batch.raw[32:], signed=False)
    raw = CHAIN_ID + sign(transfer, CHAIN_ID, SECRET).serialize()
    ids = verify_signed(raw, batch)
    assert ids.txid == ids.wtxid == transfer.id_on(CHAIN_ID) and ids.vsize == batch.vsize
    other = sign(replace(transfer, nonce=5), CHAIN_ID, SECRET).serialize()
    for bad, words in (
        (CHAIN_ID + other, "changed the transfer"),
        (b"\x12" * 32 + raw[32:], "changed the transfer"),
        (raw[:-64] + bytes(64), "not the account's"),
        (raw[:-1], "not a transfer"),
    ):
        with pytest.raises(BatchMismatchError, match=words):
            verify_signed(bad, batch)


def test_payouts_account_claims_its_turn_and_coins_claim_inputs() -> None:
    batch = built()
    transfer = read_transfer(batch.raw[32:], signed=False)
    raw = CHAIN_ID + sign(transfer, CHAIN_ID, SECRET).serialize()
    assert ACCOUNT.claims(batch) == ACCOUNT.claimed(raw) == {nonce_name(CHAIN_ID, SCRIPT, 4)}
    assert ACCOUNT.has_turn(batch, TURN)
    for turn in (replace(TURN, nonce=5), replace(TURN, chain_id=b"\x12" * 32)):
        assert not ACCOUNT.has_turn(batch, turn)
    assert ACCOUNT.claimed(b"") == frozenset() == COINS.claimed(b"\x00")
    with pytest.raises(MalformedError):
        turn_of(b"", signed=True)
    assert COINS.claims(batch) == set(batch.inputs) and COINS.has_turn(batch, None)
    assert form_of(TERMS) is ACCOUNT and form_of(make_terms()) is COINS


def test_payouts_account_orders_and_fees() -> None:
    least = transfer_size(b"\x00\x14" + bytes(20), 1, 31) * 1000 * 1_000_000 // (1000 * 100_000)
    assert order_obstacle(b"\x00\x14" + bytes(20), least + 10, TERMS) is None
    refusal = order_obstacle(b"\x00\x14" + bytes(20), least - 10, TERMS)
    assert refusal is not None and "expected at least" in refusal
    with pytest.raises(ReplaceRefusedError, match="keeps the fee"):
        check_replaceable(make_batch(BatchState.BROADCAST, built(), raw=b"signed"), TERMS)
