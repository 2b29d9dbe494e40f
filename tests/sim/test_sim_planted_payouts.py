"""Whether the simulator finds a payer that can pay twice or lose a payout: each planted mistake must be found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from payouts_run import run_payouts
from sim_oracle import is_found

from chains.node_rpc import NodeUnavailableError
from chains.wallet import Outpoint
from pool.payouts import compose
from pool.payouts.batch import Batch, BatchEvent, BatchState, BuiltBatch
from pool.payouts.form import ACCOUNT
from pool.services import payout_run
from pool.services.payout_run import PayoutRun
from pool.storage import payout_spends, payout_steps

Patch = pytest.MonkeyPatch
CALM = (0.0, 0.0)
LOSSY = (0.0, 0.001)


def seeds_until_found(most: int, rates: tuple[float, float], *, first: int = 0, account: bool = False) -> int:
    """How many seeds, from the first on, it takes until one fails."""
    for number in range(most):
        if is_found(partial(run_payouts, first + number, rates=rates, account=account)):
            return number + 1
    pytest.fail(f"{most} seeds, and nothing was found")


def takes_an_outage_for_a_no(patch: Patch) -> None:
    """P1: the answer to a broadcast is lost, the payer gives the batch up and pays again."""
    send = PayoutRun._send

    async def sending(run: Any, batch: Batch) -> None:
        try:
            await send(run, batch)
        except NodeUnavailableError:
            with run._books._database.write() as connection:
                payout_steps._void_payouts(connection, batch, 0)
            raise

    patch.setattr(PayoutRun, "_send", sending)


def settles_without_the_fee(patch: Patch) -> None:
    """What the network took is in nobody's books."""
    patch.setattr(payout_steps.payment, "fee", _no_fee(payout_steps.payment.fee))


def _no_fee(fee: Callable[..., Any]) -> Callable[..., Any]:
    def without(chain: str, batch_id: str, pool_fee: int, parts: Any) -> Any:
        return fee(chain, batch_id, 0, dict.fromkeys(parts, 0))

    return without


def settles_at_once(patch: Patch) -> None:
    """Sent is taken for paid."""
    move = payout_steps.move

    def moving(connection: Any, batch: Batch, event: BatchEvent, epoch: int, now_ms: int, **options: Any) -> BatchState:
        state = move(connection, batch, event, epoch, now_ms, **options)
        if event is BatchEvent.SEND:
            payout_steps._settle(connection, batch, now_ms)
        return state

    patch.setattr(payout_steps, "move", moving)


def rounds_fees_down(patch: Patch) -> None:
    """Each miner's part of the fee is cut, and the rest is nobody's."""

    def parts(fee: int, amounts: Any) -> list[int]:
        total = sum(amounts)
        return [fee * amount // total if total else 0 for amount in amounts]

    patch.setattr(compose, "fee_parts", parts)


def forgets_who_has_the_turn(patch: Patch) -> None:
    """Of two transfers with one nonce the chain takes one, and whom the other pays is never paid."""

    class Careless:
        def claims(self, built: BuiltBatch) -> frozenset[Outpoint]:
            return frozenset()

        def __getattr__(self, name: str) -> Any:
            return getattr(ACCOUNT, name)

    patch.setattr(payout_run, "form_of", lambda terms: Careless())


def loses_what_is_left(patch: Patch) -> None:
    """The change of a transfer is forgotten when the wallet is looked at."""
    taken = payout_spends.AccountSpends.__call__

    def spends(self: Any) -> Any:
        return {name: dataclasses.replace(spend, change=None) for name, spend in taken(self).items()}

    patch.setattr(payout_spends.AccountSpends, "__call__", spends)


MISTAKES: dict[Callable[[Patch], None], tuple[int, tuple[float, float]]] = {
    settles_without_the_fee: (10, CALM),
    settles_at_once: (20, CALM),
    rounds_fees_down: (40, CALM),
    takes_an_outage_for_a_no: (60, LOSSY),
}
"""How many seeds may be needed, and at which rates of crashes and errors."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_sim_finds_a_mistake_in_the_payouts(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    most, rates = MISTAKES[mistake]
    mistake(monkeypatch)
    assert seeds_until_found(most, rates) <= most


ACCOUNT_MISTAKES: dict[Callable[[Patch], None], tuple[int, int, tuple[float, float]]] = {
    settles_without_the_fee: (0, 10, CALM),
    settles_at_once: (0, 20, CALM),
    loses_what_is_left: (0, 20, CALM),
    takes_an_outage_for_a_no: (0, 60, LOSSY),
    forgets_who_has_the_turn: (30, 30, CALM),  # one seed in twenty has the reorg that it takes
}


@pytest.mark.parametrize("mistake", ACCOUNT_MISTAKES, ids=lambda mistake: mistake.__name__)
def test_sim_finds_a_mistake_in_the_payouts_of_an_account(
    mistake: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    first, most, rates = ACCOUNT_MISTAKES[mistake]
    mistake(monkeypatch)
    assert seeds_until_found(most, rates, first=first, account=True) <= most
