"""Payments as tables: what is done, line by line, and every balance after it, in the pure ledger and in SQL.

As in test_tables_ledger: a line is a step and the balances it changed. Accounts: wal, inc (the pool's fee), net
(network fees), own (the operator's money), out (what he took), dep (strangers' coins); for accounts 1 to 3 a1 available
and r1 reserved. Everything begins with a matured block that pays a1 600, a2 300 and the pool 100.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pool.ledger import income, payment
from pool.ledger.account import (
    ASSET_WALLET,
    EXPENSE_TXFEE,
    INCOME_FEE,
    OPERATOR_AVAILABLE,
    OPERATOR_WITHDRAWN,
    SUSPENSE_DEPOSIT,
    available,
    reserved,
)
from pool.ledger.solvency import check_cover, cover_of, lessens_cover
from pool.ledger.transfer import LedgerError, TransferGroup, apply, imbalance
from pool.storage import ledger_store
from pool.storage.database import Database, sqlite_url, upgrade

NAMES = {
    "wal": ASSET_WALLET, "inc": INCOME_FEE, "net": EXPENSE_TXFEE, "own": OPERATOR_AVAILABLE,
    "out": OPERATOR_WITHDRAWN, "dep": SUSPENSE_DEPOSIT,
}  # fmt: skip
NAMES |= {f"a{number}": available(number) for number in (1, 2, 3)}
NAMES |= {f"r{number}": reserved(number) for number in (1, 2, 3)}

C = "alpha"
START = (
    income.credit(C, "A", income=1000, fee=100, amounts={1: 600, 2: 300}),
    income.mature(C, "A", income=1000, amounts={1: 600, 2: 300}),
)
SETTLE_1 = payment.settle(C, "p1", 1, 600)
FEE_POOL = payment.fee(C, "b", 10, {})
FEE_MINERS = payment.fee(C, "b", 0, {1: 7, 2: 3})
WITHDRAW = payment.withdraw(C, "w", 60)

STEPS: dict[str, TransferGroup] = {
    "reserve 1": payment.reserve(C, "p1", 1, 600),
    "reserve 2": payment.reserve(C, "p2", 2, 300),
    "reserve too much": payment.reserve(C, "p3", 1, 601),
    "void 1": payment.void(C, "p1", 1, 600),
    "settle 1": SETTLE_1,
    "settle 2": payment.settle(C, "p2", 2, 300),
    "settle 1 net": payment.settle(C, "p1", 1, 593),
    "settle 2 net": payment.settle(C, "p2", 2, 297),
    "fee pool": FEE_POOL,
    "fee miners": FEE_MINERS,
    "fee of both": payment.fee(C, "b", 4, {1: 7, 2: 3}),
    "fee over the surplus": payment.fee(C, "b", 101, {}),
    "no fee": payment.fee(C, "b", 0, {1: 0}),
    "unsettle 1": payment.unsettle(SETTLE_1, "p1"),
    "unfee": payment.unfee(FEE_POOL, "b"),
    "deposit": payment.deposit(C, "ab" * 32, 3, 50),
    "undeposit": payment.undeposit(payment.deposit(C, "ab" * 32, 3, 50)),
    "deposit again": payment.deposit(C, "ab" * 32, 3, 50, 1),
    "fund": payment.fund(C, "ab" * 32 + ":3", 50),
    "withdraw": WITHDRAW,
    "withdraw too much": payment.withdraw(C, "w2", 101),
    "withdraw all": payment.withdraw(C, "w3", 100),
    "unwithdraw": payment.unwithdraw(WITHDRAW, "w"),
}

SCENARIOS: dict[str, list[tuple[str, str]]] = {
    "a payout, the pool bears the fee": [
        ("reserve 1", "a1=0 r1=600"),
        ("settle 1", "r1=0 wal=400"),
        ("fee pool", "net=10 wal=390"),
    ],
    "two payouts, the miners bear the fee": [
        ("reserve 1", "a1=0 r1=600"),
        ("reserve 2", "a2=0 r2=300"),
        ("settle 1 net", "r1=7 wal=407"),
        ("settle 2 net", "r2=3 wal=110"),
        ("fee miners", "r1=0 r2=0 wal=100"),
    ],
    "change too small for an output is the pool's part of the miners' fee": [
        ("reserve 1", "a1=0 r1=600"),
        ("reserve 2", "a2=0 r2=300"),
        ("settle 1 net", "r1=7 wal=407"),
        ("settle 2 net", "r2=3 wal=110"),
        ("fee of both", "r1=0 r2=0 net=4 wal=96"),
    ],
    "a payout that can never be is available again": [
        ("reserve 1", "a1=0 r1=600"),
        ("void 1", "a1=600 r1=0"),
    ],
    "doing a thing twice is doing it once": [
        ("reserve 1", "a1=0 r1=600"),
        ("reserve 1", "again"),
        ("settle 1", "r1=0 wal=400"),
        ("settle 1", "again"),
        ("fee pool", "net=10 wal=390"),
        ("fee pool", "again"),
    ],
    "what was settled cannot be void as well": [
        ("reserve 1", "a1=0 r1=600"),
        ("settle 1", "r1=0 wal=400"),
        ("void 1", "refused"),
    ],
    "what is void cannot be settled": [
        ("reserve 1", "a1=0 r1=600"),
        ("void 1", "a1=600 r1=0"),
        ("settle 1", "refused"),
    ],
    "nothing is settled that was not reserved": [("settle 1", "refused"), ("fee miners", "refused")],
    "nobody is paid more than he has": [("reserve too much", "refused")],
    "a miner's part of the fee is reserved or the fee is not booked": [
        ("reserve 1", "a1=0 r1=600"),
        ("settle 1", "r1=0 wal=400"),
        ("fee miners", "refused"),
    ],
    "a fee of nothing moves nothing": [("no fee", "")],
    "a reorg undoes a settlement for good": [
        ("reserve 1", "a1=0 r1=600"),
        ("settle 1", "r1=0 wal=400"),
        ("fee pool", "net=10 wal=390"),
        ("unsettle 1", "r1=600 wal=990"),
        ("unfee", "net=0 wal=1000"),
        ("void 1", "a1=600 r1=0"),
    ],
    "a stranger's coin is his until the operator claims it": [
        ("deposit", "wal=1050 dep=50"),
        ("deposit", "again"),
        ("withdraw too much", "refused"),
        ("fund", "dep=0 own=50"),
        ("fund", "again"),
        ("withdraw too much", "wal=949 out=-101"),
    ],
    "a stranger's coin leaves the chain and comes back": [
        ("deposit", "wal=1050 dep=50"),
        ("undeposit", "wal=1000 dep=0"),
        ("undeposit", "again"),
        ("fund", "refused"),
        ("deposit again", "wal=1050 dep=50"),
        ("fund", "dep=0 own=50"),
    ],
    "a deposit that was claimed cannot leave": [
        ("deposit", "wal=1050 dep=50"),
        ("fund", "dep=0 own=50"),
        ("undeposit", "refused"),
    ],
    "what was never deposited funds nothing": [("fund", "refused")],
    "the operator takes out what is above what is owed": [
        ("withdraw", "wal=940 out=-60"),
        ("withdraw", "again"),
        ("withdraw all", "refused"),
        ("unwithdraw", "wal=1000 out=0"),
        ("withdraw all", "wal=900 out=-100"),
    ],
    "a fee that was paid is booked, whatever it takes of the surplus; nothing leaves after that": [
        ("reserve 1", "a1=0 r1=600"),
        ("settle 1", "r1=0 wal=400"),
        ("fee over the surplus", "net=101 wal=299"),
        ("reserve 2", "refused"),
    ],
}


def play(
    scenario: list[tuple[str, str]], post: Callable[[TransferGroup], bool], read: Callable[[], dict[str, int]]
) -> None:
    for group in START:
        assert post(group)
    expected = {NAMES["wal"]: 1000, NAMES["inc"]: 100, NAMES["a1"]: 600, NAMES["a2"]: 300}
    for step, outcome in scenario:
        if outcome == "refused":
            with pytest.raises(LedgerError):
                post(STEPS[step])
        elif outcome == "again":
            assert not post(STEPS[step])
        else:
            assert post(STEPS[step])
            expected |= {NAMES[n]: int(a) for n, a in (item.split("=") for item in outcome.split())}
        balances = read()
        assert {n: a for n, a in balances.items() if a} == {n: a for n, a in expected.items() if a}
        assert imbalance(balances) == 0


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_tables_payment_in_pure_form(scenario: list[tuple[str, str]]) -> None:
    balances: dict[str, int] = {}
    written: set[str] = set()

    def post(group: TransferGroup) -> bool:
        nonlocal balances
        if group.id in written:
            return False
        if lessens_cover(group):
            check_cover(group, cover_of(balances))
        balances = apply(balances, group)
        written.add(group.id)
        return True

    play(scenario, post, lambda: balances)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_tables_payment_in_sql(scenario: list[tuple[str, str]], tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "pool.db")
    upgrade(url)
    database = Database(url)

    def post(group: TransferGroup) -> bool:
        with database.write() as connection:
            return ledger_store.post(connection, group, 0)

    def read() -> dict[str, int]:
        with database.read() as connection:
            assert ledger_store.audit(connection) == []
            return ledger_store.chain_balances(connection, "alpha")

    play(scenario, post, read)
    database.close()


@pytest.mark.parametrize("amount", [0, -1, 1.5, True])
def test_tables_payment_amounts_are_positive_and_whole(amount: int) -> None:
    for make in (
        lambda: payment.reserve(C, "p", 1, amount),
        lambda: payment.void(C, "p", 1, amount),
        lambda: payment.settle(C, "p", 1, amount),
        lambda: payment.deposit(C, "ab", 0, amount),
        lambda: payment.fund(C, "ab:0", amount),
        lambda: payment.withdraw(C, "w", amount),
    ):
        with pytest.raises(LedgerError, match="not a positive whole amount"):
            make()


def test_tables_payment_a_part_of_a_fee_is_not_negative() -> None:
    for pool_fee, parts in ((-1, {}), (5, {1: -1})):
        with pytest.raises(LedgerError, match="not negative"):
            payment.fee(C, "b", pool_fee, parts)
