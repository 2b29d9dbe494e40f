"""What may move against the wallet's cover (I13), and what a loss stops."""

from __future__ import annotations

import pytest

from pool.ledger import loss
from pool.ledger.account import (
    ASSET_WALLET,
    EXPENSE_TXFEE,
    INCOME_FEE,
    OPERATOR_AVAILABLE,
    OPERATOR_WITHDRAWN,
    SUSPENSE_DEPOSIT,
    available,
    immature,
    reserved,
)
from pool.ledger.solvency import Cover, check_cover, cover_of, lessens_cover, payout_obstacle
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup

SOUND = {ASSET_WALLET: 100, available(1): 60, reserved(2): 30, immature(3): 500, SUSPENSE_DEPOSIT: 4, INCOME_FEE: 6}


def group(kind: str, *transfers: tuple[str, str, int]) -> TransferGroup:
    return TransferGroup(f"{kind}:a:1", "a", kind, tuple(Transfer(*transfer) for transfer in transfers))


def test_ledger_cover_counts_what_is_owed_for_good() -> None:
    assert cover_of(SOUND) == Cover(wallet=100, deposits=4, owed=90)
    assert cover_of(SOUND).surplus == 6
    assert cover_of({"equity.loss": -7}).unborne_loss == 7


FEE_6 = group("fee", (EXPENSE_TXFEE, ASSET_WALLET, 6))
FEE_7 = group("fee", (EXPENSE_TXFEE, ASSET_WALLET, 7))
WITHDRAW_6 = group("withdraw", (OPERATOR_WITHDRAWN, ASSET_WALLET, 6))
WITHDRAW_7 = group("withdraw", (OPERATOR_WITHDRAWN, ASSET_WALLET, 7))
PPS_6 = group("pps", (OPERATOR_AVAILABLE, available(1), 6))
PPS_7 = group("pps", (OPERATOR_AVAILABLE, available(1), 7))
RESERVE = group("reserve", (available(1), reserved(1), 60))
SETTLE = group("settle", (reserved(2), ASSET_WALLET, 30))
MATURE = group("mature", (ASSET_WALLET, "asset.immature", 500), (immature(3), available(3), 495))
LOSS = loss.loss("a", "B", 1, income=50, fee=5)


@pytest.mark.parametrize("allowed", [FEE_6, FEE_7, WITHDRAW_6, PPS_6, RESERVE, SETTLE, MATURE, LOSS])
def test_ledger_group_within_the_surplus_may_be_written(allowed: TransferGroup) -> None:
    check_cover(allowed, cover_of(SOUND))


@pytest.mark.parametrize("refused", [WITHDRAW_7, PPS_7])
def test_ledger_group_beyond_the_surplus_is_refused(refused: TransferGroup) -> None:
    assert lessens_cover(refused)
    with pytest.raises(LedgerError, match="would hold 1 less than what is owed for good; the operator has to fund"):
        check_cover(refused, cover_of(SOUND))


@pytest.mark.parametrize("harmless", [SETTLE, MATURE])
def test_ledger_group_that_leaves_the_surplus_needs_no_look_at_the_balances(harmless: TransferGroup) -> None:
    assert not lessens_cover(harmless)


def test_ledger_nothing_leaves_while_a_loss_is_not_borne() -> None:
    lost = cover_of(SOUND).moved(LOSS)
    assert lost == Cover(wallet=50, deposits=4, owed=90, unborne_loss=45)
    assert lost.surplus == -44
    for leaving in (RESERVE, WITHDRAW_6):
        with pytest.raises(LedgerError, match="a loss of 45 is not borne by anybody yet"):
            check_cover(leaving, Cover(1000, 0, 90, 45))
    check_cover(MATURE, lost)
    borne = lost.moved(loss.absorb("a", "B", 1, 45))
    assert payout_obstacle(borne) == "the wallet holds 44 less than what is owed for good"
    with pytest.raises(LedgerError, match="holds 44 less"):
        check_cover(RESERVE, borne)
    funded = borne.moved(group("fund", (ASSET_WALLET, OPERATOR_AVAILABLE, 44)))
    assert payout_obstacle(funded) is None
    check_cover(RESERVE, funded)


def test_ledger_clawback_takes_no_more_than_there_is() -> None:
    taken = loss.clawback("a", "B", 1, amounts={1: 30, 2: 15, 3: 0}, balances={1: 60, 2: 4, 3: 9})
    assert taken.transfers == (
        Transfer("liab.1.available", "equity.loss", 30),
        Transfer("liab.2.available", "equity.loss", 4),
    )


def test_ledger_found_and_unbear_are_exact_opposites() -> None:
    back = loss.found(LOSS, "B", 1)
    assert back.id == "found:a:B:1"
    assert Cover().moved(LOSS).moved(back) == Cover()
    absorbed = loss.absorb("a", "B", 1, 45)
    assert Cover().moved(absorbed).moved(loss.unbear(absorbed)) == Cover()
    assert loss.unbear(absorbed).id == "unbear:a:absorb:a:B:1"


def test_ledger_block_that_is_back_gives_back_while_another_one_is_still_lost() -> None:
    """Two final blocks of 100 are lost; one was clawed back from account 1 and returns: the other's hole stays."""
    taken = loss.clawback("a", "x", 1, amounts={1: 100}, balances={1: 100})
    check_cover(loss.unbear(taken), Cover(wallet=100, owed=100, unborne_loss=100))


def test_ledger_loss_refuses_a_fee_that_is_no_part_of_it() -> None:
    with pytest.raises(LedgerError, match="fee 6 and suspense 0 are no parts of an income of 5"):
        loss.loss("a", "B", 1, income=5, fee=6)
