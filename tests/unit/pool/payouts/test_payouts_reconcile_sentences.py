"""The wallet against the books: every sentence, every sum, several things wrong at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from payout_samples import make_coin, outpoint

from chains.wallet import Coin
from pool.payouts.reconcile import (
    BookedCoin,
    BooksView,
    CoinSource,
    Income,
    NewIncome,
    Reconciliation,
    named,
    reconcile,
)

TIP, MATURITY = 1000, 100


def booked(number: int, amount: int, source: CoinSource = CoinSource.INCOME, **options: bool) -> BookedCoin:
    return BookedCoin(outpoint(number), amount, source, f"cause{number}", **options)


def coinbase(number: int, amount: int, vout: int = 0) -> Coin:
    return Coin(outpoint(number, vout), amount, b"", 101, True)


def income(name: str, amount: int, *, age: int = 101, mature: bool = True) -> Income:
    """Of a block whose coinbase has `age` confirmations at the tip."""
    return Income(name, TIP - age + 1, amount, mature)


def looked(
    shown: list[Coin],
    coins: list[BookedCoin],
    *incomes: Income,
    origins: Mapping[int, str | None] | None = None,
    wallet: int | None = None,
    change: frozenset[Any] = frozenset(),
) -> Reconciliation:
    """At a tip of 1000; deposits are final after 6. `wallet` is what the books' coins and mature incomes make."""
    if wallet is None:
        wallet = sum(coin.amount for coin in coins if not coin.spent) + sum(i.amount for i in incomes if i.mature)
    view = BooksView(
        wallet, {coin.outpoint: coin for coin in coins}, change, {each.block_hash_hex: each for each in incomes}
    )
    return reconcile(
        shown,
        view,
        {outpoint(number).txid: name for number, name in (origins or {}).items()},
        tip_height=TIP,
        maturity=MATURITY,
        confirmations=6,
    )


def test_payouts_reconcile_names_an_outpoint_as_explorers_do() -> None:
    assert named(outpoint(0x0102, 3)) == "0201" + "00" * 30 + ":3"


def test_payouts_reconcile_says_what_is_wrong_with_each_coin_in_order() -> None:
    """Gone, changed and back at once, smallest outpoint first, and the sum of it all."""
    result = looked(
        [make_coin(4, 7), make_coin(3, 90), make_coin(2, 20), make_coin(5, 3)],
        [booked(5, 3), booked(4, 7, spent=True), booked(3, 100), booked(2, 11), booked(1, 50)],
    )
    assert result.faults == (
        f"coin {named(outpoint(1))} of 50 is gone, and no batch spends it",
        f"coin {named(outpoint(2))} has 20 in the wallet and 11 in the books",
        f"coin {named(outpoint(3))} has 90 in the wallet and 100 in the books",
        f"coin {named(outpoint(4))} of 7 is back, though a settled batch spent it",
    )
    assert result.difference == -50 + 9 - 10 + 7
    assert (result.incomes, result.deposits, result.notes) == ((), (), ())
    assert not result.good


@pytest.mark.parametrize(
    ("coin", "gone"),
    [
        (booked(1, 50), True),
        (booked(1, 50, CoinSource.CHANGE), True),
        (booked(1, 50, CoinSource.DEPOSIT), True),
        (booked(1, 50, CoinSource.FUND), True),
        (booked(1, 50, CoinSource.COLD), False),
        (booked(1, 50, spent=True), False),
        (booked(1, 50, in_flight=True), False),
        (booked(1, 50, spent=True, in_flight=True), False),
    ],
)
def test_payouts_reconcile_a_coin_that_is_not_there(coin: BookedCoin, gone: bool) -> None:
    result = looked([], [coin])
    assert result.good is not gone
    assert result.difference == (-50 if gone else 0)
    assert len(result.faults) == (1 if gone else 0)


@pytest.mark.parametrize(
    ("coin", "back"),
    [
        (booked(1, 50, spent=True), True),
        (booked(1, 50, spent=True, in_flight=True), False),
        (booked(1, 50, in_flight=True), False),
        (booked(1, 50, CoinSource.COLD), False),
    ],
)
def test_payouts_reconcile_a_coin_that_is_there(coin: BookedCoin, back: bool) -> None:
    result = looked([make_coin(1, 50)], [coin])
    assert result.good is not back
    assert result.difference == (50 if back else 0)


def test_payouts_reconcile_a_coin_named_twice_comes_after_what_is_wrong_with_coins() -> None:
    result = looked([make_coin(2, 5), make_coin(2, 5)], [booked(1, 50), booked(2, 5)])
    assert result.faults == (
        f"coin {named(outpoint(1))} of 50 is gone, and no batch spends it",
        "the wallet names a coin twice",
    )


def test_payouts_reconcile_books_deposits_in_order_when_they_are_final_and_worth_something() -> None:
    deep = [make_coin(number, number, confirmations=6) for number in (3, 1)]
    others = [make_coin(2, 9, confirmations=5), make_coin(4, 0), make_coin(5, 9), make_coin(6, 9)]
    result = looked([*deep, *others], [booked(5, 9)], change=frozenset({outpoint(6)}))
    assert result == Reconciliation((), (deep[1], deep[0]), (), (), 0)
    one = make_coin(1, 1, confirmations=7)
    assert looked([one], []).deposits == (one,)


def test_payouts_reconcile_enters_each_block_with_all_of_its_coins() -> None:
    shown = [coinbase(2, 30, 1), coinbase(1, 7), coinbase(2, 20, 0)]
    result = looked(shown, [], income("b2", 50), income("b1", 7), origins={1: "b1", 2: "b2"})
    assert result == Reconciliation(
        (NewIncome("b1", (shown[1],)), NewIncome("b2", (shown[2], shown[0]))), (), (), (), 0
    )


@pytest.mark.parametrize(("held", "difference"), [(49, -1), (51, 1)])
def test_payouts_reconcile_a_block_that_holds_another_amount_is_no_income(held: int, difference: int) -> None:
    result = looked(
        [coinbase(1, held), coinbase(2, 9), make_coin(3, 4)], [booked(3, 5)], income("b1", 50), income("b2", 9),
        origins={1: "b1", 2: "b2"},
    )  # fmt: skip
    assert result == Reconciliation(
        (NewIncome("b2", (coinbase(2, 9),)),),
        (),
        (
            f"coin {named(outpoint(3))} has 4 in the wallet and 5 in the books",
            f"the coins of block b1 hold {held}, its income is 50",
        ),
        (),
        difference - 1,
    )


def test_payouts_reconcile_notes_each_coinbase_of_blocks_it_does_not_know() -> None:
    result = looked([coinbase(1, 5), coinbase(2, 6), coinbase(3, 7), coinbase(4, 8)], [], income("b4", 8),
                    origins={1: None, 2: "b2", 4: "b4"})
    assert result.notes == tuple(
        f"coinbase {outpoint(number).txid[::-1].hex()} is of a block that the books do not know; it is left alone"
        for number in (1, 2, 3)
    )
    assert result.incomes == (NewIncome("b4", (coinbase(4, 8),)),)
    assert result.good


def test_payouts_reconcile_leaves_a_block_that_is_not_final_in_the_books() -> None:
    assert looked([coinbase(1, 5)], [], income("b1", 5, mature=False), origins={1: "b1"}) == Reconciliation(
        (), (), (), (), 0
    )
    assert looked([], [], income("b1", 5, mature=False, age=500)) == Reconciliation((), (), (), (), 0)


def test_payouts_reconcile_misses_income_20_blocks_after_the_chain_lets_it_be_spent() -> None:
    late, waits, none = income("b1", 50, age=121), income("b2", 30, age=120), income("b3", 0, age=500)
    assert looked([], [], late, waits, none) == Reconciliation(
        (), (), ("the 50 of block b1 are not in the wallet",), (), -50
    )
    both = looked([], [], late, income("b4", 7, age=300))
    assert both.faults == (
        "the 50 of block b1 are not in the wallet", "the 7 of block b4 are not in the wallet",
    )  # fmt: skip
    assert both.difference == -57
    # The one that is entered now is not awaited any more.
    assert looked([coinbase(1, 50)], [], late, waits, origins={1: "b1"}).good
    skipped = looked([coinbase(1, 50)], [], income("b0", 0), late, income("b2", 3, age=300), origins={1: "b1"})
    assert skipped.faults == ("the 3 of block b2 are not in the wallet",)


@pytest.mark.parametrize("off", [-1, 1, 40])
def test_payouts_reconcile_coins_of_the_books_make_the_ledgers_wallet(off: int) -> None:
    """What is in the books, what is entered now and what is awaited: together it is what the ledger says."""
    result = looked(
        [make_coin(1, 10), coinbase(2, 200)],
        [booked(1, 10), booked(9, 5, spent=True)],
        income("b2", 200),
        income("b3", 3000),
        origins={2: "b2"},
        wallet=3210 - off,
    )
    assert result.faults == (f"the coins of the books differ from the ledger's wallet by {off}",)
    assert result.difference == off
    assert result.incomes == (NewIncome("b2", (coinbase(2, 200),)),)


def test_payouts_reconcile_all_that_is_wrong_is_told_and_summed() -> None:
    result = looked([make_coin(1, 11)], [booked(1, 10)], income("b1", 50, age=400), wallet=59)
    assert result.faults == (
        f"coin {named(outpoint(1))} has 11 in the wallet and 10 in the books",
        "the 50 of block b1 are not in the wallet",
        "the coins of the books differ from the ledger's wallet by 1",
    )
    assert result.difference == 1 - 50 + 1


def test_payouts_reconcile_faults_that_cancel_out_are_faults() -> None:
    result = looked([make_coin(1, 11), make_coin(2, 9)], [booked(1, 10), booked(2, 10)])
    assert (result.difference, len(result.faults), result.good) == (0, 2, False)
    assert not Reconciliation((), (), (), (), 1).good
    assert Reconciliation((), (), (), ("a note",), 0).good
