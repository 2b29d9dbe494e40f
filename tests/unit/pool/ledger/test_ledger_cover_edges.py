"""The cover of what is owed, account by account and at its edges, with the words of every refusal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import written

from pool.ledger.solvency import (
    FORCED_KINDS,
    LEAVING_KINDS,
    Cover,
    check_cover,
    cover_of,
    is_owed,
    lessens_cover,
    payout_obstacle,
)
from pool.ledger.transfer import LedgerError, TransferGroup, apply

OWED = ("liab.1.available", "liab.22.reserved")
OTHERS = (
    "liab.1.immature", "asset.wallet", "asset.immature", "income.fee", "expense.txfee", "equity.loss",
    "equity.operator.available", "equity.operator.withdrawn", "suspense.deposit", "suspense.unexplained",
)  # fmt: skip


def test_ledger_cover_what_is_owed_for_good_is_available_or_reserved() -> None:
    assert all(is_owed(account) for account in OWED)
    assert not any(is_owed(account) for account in OTHERS)


def test_ledger_cover_of_balances_leaves_out_what_it_does_not_compare() -> None:
    assert cover_of({}) == Cover(0, 0, 0, 0)
    balances = {name: 10**place for place, name in enumerate((*OWED, *OTHERS))}
    cover = cover_of(balances)
    assert cover == Cover(
        wallet=balances["asset.wallet"],
        deposits=balances["suspense.deposit"],
        owed=11,
        unborne_loss=-balances["equity.loss"],
    )
    assert cover.surplus == balances["asset.wallet"] - balances["suspense.deposit"] - 11


START = {
    "asset.wallet": 1000, "asset.immature": 1000, "suspense.deposit": 100, "suspense.unexplained": 100,
    "liab.1.immature": 100, "liab.1.available": 100, "liab.22.reserved": 100, "income.fee": 100, "expense.txfee": 100,
    "equity.loss": -50, "equity.operator.available": 100, "equity.operator.withdrawn": -50,
}  # fmt: skip
accounts = st.sampled_from(sorted(START))
steps = st.lists(
    st.tuples(accounts, accounts, st.integers(1, 5)).filter(lambda step: step[0] != step[1]), min_size=1, max_size=6
)


@given(steps)
def test_ledger_cover_moves_as_the_balances_do(transfers: list[tuple[str, str, int]]) -> None:
    text = "\n".join(f"{debit} > {credit} {amount}" for debit, credit, amount in transfers)
    group = written(f"orphan:alpha:1\n{text}")  # a kind that may move anything
    assert cover_of(START).moved(group) == cover_of(apply(START, group))


def group_of(kind: str, loses: int) -> TransferGroup:
    """A group that lessens the surplus by so much, or adds to it."""
    if loses > 0:
        return written(f"{kind}:alpha:1\nexpense.txfee > asset.wallet {loses}")
    if loses < 0:
        return written(f"{kind}:alpha:1\nasset.wallet > income.fee {-loses}")
    return written(f"{kind}:alpha:1\nliab.1.available > liab.1.reserved 5")


@pytest.mark.parametrize(("loses", "judged"), [(1, True), (0, False), (-1, False)])
def test_ledger_cover_is_judged_when_it_lessens_or_something_leaves(loses: int, judged: bool) -> None:
    assert lessens_cover(group_of("pps", loses)) is judged
    assert lessens_cover(group_of("reserve", loses))
    assert lessens_cover(group_of("withdraw", loses))


@pytest.mark.parametrize(
    ("surplus", "loses", "short"),
    [
        (5, 5, None), (5, 6, 1), (0, 1, 1), (0, 0, None), (-3, 0, None), (-3, -1, None), (-3, -10, None), (-3, 1, 4),
    ],
)  # fmt: skip
def test_ledger_cover_may_be_used_up_and_no_unit_more(surplus: int, loses: int, short: int | None) -> None:
    """What lessens it below nothing is refused; what leaves a broken one as it is, or mends it, is not."""
    group, before = group_of("pps", loses), Cover(wallet=surplus + 100, deposits=40, owed=60)
    if short is None:
        check_cover(group, before)
        return
    words = (
        f"pps:alpha:1: the wallet would hold {short} less than what is owed for good; the operator has to fund it first"
    )
    with pytest.raises(LedgerError, match=f"^{re.escape(words)}$"):
        check_cover(group, before)


@pytest.mark.parametrize("kind", FORCED_KINDS)
def test_ledger_cover_does_not_stop_what_the_chain_did(kind: str) -> None:
    check_cover(group_of(kind, 500), Cover(0, 0, 400, 7))


@pytest.mark.parametrize("kind", LEAVING_KINDS)
def test_ledger_cover_stops_what_leaves_with_its_obstacle(kind: str) -> None:
    for before, words in (
        (Cover(99, 0, 100), "the wallet holds 1 less than what is owed for good"),
        (Cover(200, 0, 100, 1), "a loss of 1 is not borne by anybody yet (absorb it or claw it back)"),
    ):
        with pytest.raises(LedgerError, match=f"^{re.escape(f'{kind}:alpha:1: {words}')}$"):
            check_cover(group_of(kind, 0), before)
    check_cover(group_of(kind, 0), Cover(100, 0, 100, 0))


def test_ledger_cover_obstacles_in_their_order() -> None:
    assert payout_obstacle(Cover(10, 4, 6, 0)) is None
    assert payout_obstacle(Cover(10, 4, 6, -1)) is None
    assert payout_obstacle(Cover(10, 5, 6, 0)) == "the wallet holds 1 less than what is owed for good"
    assert payout_obstacle(Cover(10, 5, 6, 2)) == "a loss of 2 is not borne by anybody yet (absorb it or claw it back)"


def test_ledger_cover_kinds_that_are_special() -> None:
    assert set(FORCED_KINDS) == {"loss", "orphan", "unsettle", "unbear", "fee", "return", "refee"}
    assert set(LEAVING_KINDS) == {"reserve", "withdraw"}
