"""The wallet against the books, coin by coin."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_samples import make_coin, outpoint

from chains.wallet import Coin
from pool.payouts.reconcile import (
    AWAIT_MARGIN,
    BookedCoin,
    BooksView,
    CoinSource,
    Income,
    NewIncome,
    Reconciliation,
    named,
    reconcile,
)

TIP = 1000


def booked(number: int, amount: int, source: CoinSource = CoinSource.INCOME, **options: bool) -> BookedCoin:
    return BookedCoin(outpoint(number), amount, source, f"cause{number}", **options)


def books(*coins: BookedCoin, **options: Any) -> BooksView:
    values: dict[str, Any] = {
        "wallet": sum(coin.amount for coin in coins if not coin.spent),
        "coins": {coin.outpoint: coin for coin in coins},
        "change": frozenset(),
        "incomes": {},
    }
    return BooksView(**(values | options))


def looked(shown: list[Coin], view: BooksView, origins: dict[bytes, str | None] | None = None) -> Reconciliation:
    return reconcile(shown, view, origins or {}, tip_height=TIP, maturity=100, confirmations=6)


def test_payouts_reconcile_what_is_in_both_is_good() -> None:
    result = looked([make_coin(1, 50), make_coin(2, 70)], books(booked(1, 50), booked(2, 70)))
    assert result.good
    assert result == Reconciliation((), (), (), (), 0)


def test_payouts_reconcile_an_unconfirmed_coin_of_the_books_is_there() -> None:
    assert looked([make_coin(1, 50, confirmations=0)], books(booked(1, 50))).good


def test_payouts_reconcile_a_deposit_is_booked_once_it_is_final_and_stops_nothing() -> None:
    fresh = looked([make_coin(1, 1, confirmations=5)], books())
    assert (fresh.deposits, fresh.good) == ((), True)
    deep = looked([make_coin(1, 1, confirmations=6)], books())
    assert (deep.deposits, deep.good) == ((make_coin(1, 1, confirmations=6),), True)
    assert looked([make_coin(1, 1)], books(booked(1, 1, CoinSource.DEPOSIT))).deposits == ()


def test_payouts_reconcile_a_deposit_leaves_that_a_reorg_took_and_nothing_else_does() -> None:
    coins = [booked(number, 50, source) for number, source in enumerate(CoinSource, 1)]
    deposit = booked(9, 1, CoinSource.DEPOSIT)
    result = reconcile(
        [], books(*coins, deposit), {}, tip_height=TIP, maturity=100, confirmations=6,
        away=[outpoint(number) for number in (9, *range(1, 6), 77)],
    )  # fmt: skip
    gone = [f"coin {named(coin.outpoint)} of 50 is gone, and no batch spends it" for coin in coins
            if coin.source not in (CoinSource.DEPOSIT, CoinSource.COLD)]  # fmt: skip
    assert (set(result.left), sorted(result.faults)) == ({coins[2], deposit}, sorted(gone))
    assert result.difference == -150


def test_incident_p19_a_coin_that_nobody_of_us_spent_stops_payouts() -> None:
    result = looked([make_coin(2, 70)], books(booked(1, 50), booked(2, 70)))
    assert result.faults == (f"coin {named(outpoint(1))} of 50 is gone, and no batch spends it",)
    assert result.difference == -50
    assert not result.good


def test_payouts_reconcile_a_coin_that_a_signed_batch_spends_may_be_there_or_not() -> None:
    view = books(booked(1, 50, in_flight=True), change=frozenset({outpoint(9)}))
    assert looked([], view).good
    assert looked([make_coin(1, 50)], view).good
    assert looked([make_coin(9, 20, confirmations=0)], view).good
    assert looked([make_coin(9, 20, confirmations=100)], view).deposits == ()


@pytest.mark.parametrize("spent", [False, True])
def test_payouts_reconcile_a_block_whose_coins_were_entered_meanwhile_counts_once(spent: bool) -> None:
    """Between the question for a coinbase's block and this view, a payer that took over entered its coins, or the block
    came back after a loss, with the coins that it had before."""
    coin = BookedCoin(outpoint(1), 50, CoinSource.INCOME, "ours", spent=spent, in_flight=spent)
    view = books(coin, booked(2, 7), incomes={"ours": Income("ours", TIP - 100, 50, mature=True)})
    shown = [make_coin(1, 50, coinbase=True, confirmations=101), make_coin(2, 7)]
    assert looked(shown, view, {outpoint(1).txid: "ours"}) == Reconciliation((), (), (), (), 0)


def test_payouts_reconcile_a_reopened_batch_explains_both_its_sides() -> None:
    view = books(
        booked(1, 50, spent=True, in_flight=True), booked(2, 45, CoinSource.CHANGE, in_flight=True), wallet=45
    )
    for shown in ([], [make_coin(1, 50)], [make_coin(2, 45)]):
        assert looked(shown, view).good


def test_payouts_reconcile_a_spent_coin_that_is_back_stops_payouts() -> None:
    result = looked([make_coin(1, 50)], books(booked(1, 50, spent=True)))
    assert (result.difference, len(result.faults)) == (50, 1)
    assert "is back" in result.faults[0]


def test_payouts_reconcile_a_coin_of_another_amount_is_nonsense() -> None:
    result = looked([make_coin(1, 49)], books(booked(1, 50)))
    assert (result.difference, len(result.faults)) == (-1, 1)


def test_payouts_reconcile_a_coin_named_twice_is_nonsense() -> None:
    assert looked([make_coin(1, 50)] * 2, books(booked(1, 50))).faults == ("the wallet names a coin twice",)


def test_payouts_reconcile_the_operators_cold_coins_are_not_in_this_wallet() -> None:
    assert looked([], books(booked(1, 50, CoinSource.COLD))).good


def income(number: int, amount: int, **options: Any) -> Income:
    return Income(**({"block_hash_hex": f"h{number}", "height": TIP - 100, "amount": amount, "mature": True} | options))


def test_payouts_reconcile_enters_the_coins_of_a_mature_block() -> None:
    coins = [
        Coin(outpoint(1, 0), 30, b"", 101, True),
        Coin(outpoint(1, 1), 20, b"", 101, True),
    ]
    view = books(wallet=50, incomes={"h1": income(1, 50)})
    result = looked(coins, view, {outpoint(1).txid: "h1"})
    assert result == Reconciliation((NewIncome("h1", tuple(coins)),), (), (), (), 0)


def test_payouts_reconcile_the_income_of_a_block_is_what_its_coins_hold() -> None:
    coin = Coin(outpoint(1), 49, b"", 101, True)
    result = looked([coin], books(wallet=50, incomes={"h1": income(1, 50)}), {outpoint(1).txid: "h1"})
    assert result.faults == ("the coins of block h1 hold 49, its income is 50",)
    assert result.difference == -1
    assert result.incomes == ()


def test_payouts_reconcile_waits_for_income_that_one_side_does_not_have_yet() -> None:
    assert looked([], books(wallet=50, incomes={"h1": income(1, 50)})).good
    coin = Coin(outpoint(1), 50, b"", 101, True)
    view = books(wallet=0, incomes={"h1": income(1, 50, mature=False)})
    assert looked([coin], view, {outpoint(1).txid: "h1"}) == Reconciliation((), (), (), (), 0)


@pytest.mark.parametrize(("deep", "expected"), [(100 + AWAIT_MARGIN, True), (100 + AWAIT_MARGIN + 1, False)])
def test_payouts_reconcile_income_that_never_comes_stops_payouts(deep: int, expected: bool) -> None:
    view = books(wallet=50, incomes={"h1": income(1, 50, height=TIP - deep + 1)})
    result = looked([], view)
    assert result.good is expected
    assert result.difference == (0 if expected else -50)


@pytest.mark.parametrize("origin", [None, "h2"])
def test_payouts_reconcile_a_coinbase_of_an_unknown_block_is_left_alone(origin: str | None) -> None:
    result = looked([Coin(outpoint(1), 50, b"", 101, True)], books(), {outpoint(1).txid: origin})
    assert result.good
    assert result.incomes == result.deposits == ()
    assert result.notes == (f"coinbase {named(outpoint(1))[:-2]} is of a block that the books do not know; it is left"
                            " alone",)


def test_incident_p18_more_in_the_ledger_than_coins_stops_payouts() -> None:
    result = looked([make_coin(1, 50)], books(booked(1, 50), wallet=51))
    assert result.faults == ("the coins of the books differ from the ledger's wallet by -1",)
    assert result.difference == -1


@given(st.lists(st.integers(1, 10**12), max_size=8), st.lists(st.integers(0, 10**12), max_size=8))
def test_payouts_reconcile_the_difference_is_the_wallets_less_the_ledgers(held: list[int], shown: list[int]) -> None:
    """For coins that are in one or the other: what is there over what should be, to the unit."""
    view = books(*(booked(n, amount) for n, amount in enumerate(held)))
    coins = [make_coin(n, amount) for n, amount in enumerate(shown[: len(held)])]
    result = looked(coins, view)
    assert result.difference == sum(shown[: len(held)]) - sum(held)
    assert result.good is (shown[: len(held)] == held)
