"""Swept coins that come back: what is the wallet's, what stays cold, what it cost, and what nobody accounts for."""

from __future__ import annotations

import pytest

from chains.primitives.transaction import Transaction, TxIn, TxOut
from chains.wallet import Outpoint
from pool.payouts.cold import ColdReturn, NoReturnError, cold_return
from pool.payouts.reconcile import BookedCoin, CoinSource

COLD = {
    Outpoint(bytes([number]) * 32, 0): BookedCoin(Outpoint(bytes([number]) * 32, 0), amount, CoinSource.COLD, "sweep")
    for number, amount in ((1, 50_000), (2, 30_000))
}
STRANGE = TxIn(b"\x09" * 32, 0, b"")


def spends(*numbers: int) -> list[TxIn]:
    return [TxIn(bytes([number]) * 32, 0, b"") for number in numbers]


def pays(inputs: list[TxIn], *amounts: int) -> Transaction:
    return Transaction(2, tuple(inputs), tuple(TxOut(amount, b"\x51") for amount in amounts))


def test_payouts_cold_all_of_a_coin_comes_back_less_the_fee() -> None:
    transaction = pays(spends(1), 49_800)
    found = cold_return(transaction, COLD, {0}, ())
    assert found == ColdReturn(
        transaction.txid, (COLD[Outpoint(b"\x01" * 32, 0)],), ((Outpoint(transaction.txid, 0), 49_800),), ()
    )
    assert found.cost == 200
    assert found.cause == "return:" + transaction.txid[::-1].hex()


def test_payouts_cold_change_of_the_cold_wallet_stays_when_the_operator_says_so() -> None:
    transaction = pays(spends(1, 2), 60_000, 0, 19_000)
    found = cold_return(transaction, COLD, {0}, {2})
    assert [coin.amount for coin in found.spent] == [50_000, 30_000]
    assert found.hot == ((Outpoint(transaction.txid, 0), 60_000),)
    assert found.kept == ((Outpoint(transaction.txid, 2), 19_000),)
    assert found.cost == 1_000


def test_payouts_cold_money_that_comes_beside_it_is_the_operators() -> None:
    assert cold_return(pays([*spends(1), STRANGE], 70_000), COLD, {0}, ()).cost == -20_000


@pytest.mark.parametrize(
    ("transaction", "ours", "kept", "sentence"),
    [
        (pays([STRANGE], 5), {0}, (), "it spends no swept coin"),
        (pays(spends(1), 5, 40_000), {0}, (), "its output 1 of 40000 is not the wallet's"),
        (pays(spends(1), 5), {0}, (0,), "it has no output 0 that pays somebody else than the wallet"),
        (pays(spends(1), 5), {0}, (1,), "it has no output 1 that pays somebody else than the wallet"),
        (pays(spends(1), 5, 0), {0}, (1,), "it has no output 1 that pays somebody else than the wallet"),
    ],
)
def test_payouts_cold_what_is_no_return_is_said(
    transaction: Transaction, ours: set[int], kept: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(NoReturnError) as refusal:
        cold_return(transaction, COLD, ours, kept)
    assert str(refusal.value) == sentence
