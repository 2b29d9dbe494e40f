"""`pool payouts bump`: what it costs, the order, and what is refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.payout_world import CHAIN, PayoutWorld

from pool.cli import commands
from pool.config.configuration import load
from pool.payouts.batch import BatchState
from pool.storage.database import upgrade

DEVNET = str(Path(__file__).parents[4] / "deploy/devnet.yaml")
AMOUNTS = {1: 500_000, 2: 300_000}
Bump = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bump:
    """Runs `pool payouts bump ...` over the books in tmp_path: exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        given = ["-c", DEVNET, "--set", f"pool.data_dir={tmp_path}"]
        given += ["--set", f"chains.{CHAIN}.payouts.minimum_payout=10000"]
        monkeypatch.setattr(sys, "argv", ["pool", "payouts", "bump", *given, *words])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PayoutWorld]:
    url = load(DEVNET, {"pool.data_dir": str(tmp_path)}).database_url()
    upgrade(url)
    world = PayoutWorld(tmp_path, url)
    yield world
    world.close()


async def test_cli_payout_bump_tells_the_cost_and_orders_it(bump: Bump, world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert batch.built is not None
    fee = batch.built.fee
    said = f"batch {batch.id}: fee {fee} becomes {2 * fee}, the pool bears {fee} more\n"
    assert bump(batch.id, "--fee-rate", "2000", "--dry-run") == (0, said, "")
    assert world.batches()[0].bump_rate is None
    for _ in range(2):
        code, out, _ = bump(batch.id, "--fee-rate", "2000")
        assert code == 0 and out.startswith(said) and "the payer of alpha signs and sends it" in out
    assert world.batches()[0].bump_rate == 2000
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    (batch,) = world.batches()
    assert batch.built is not None and (batch.state, batch.built.fee) == (BatchState.SETTLED, 2 * fee)
    code, _, err = bump(batch.id, "--fee-rate", "5000")
    assert (code, err.count("\n")) == (1, 1) and "is settled" in err


def test_cli_payout_bump_refuses_what_cannot_be(bump: Bump, world: PayoutWorld) -> None:
    world.owe(AMOUNTS, fee=400)  # no change, and little money of the operator's
    with asyncio.Runner() as runner:
        runner.run(world.passes(1, mining=False))
    (batch,) = world.batches()
    code, out, _ = bump(batch.id, "--fee-rate", "3000", "--dry-run")
    assert (code, "the payer adds a coin" in out) == (0, True)
    for words, problem in (
        (("nobody's", "--fee-rate", "2000"), "there is no batch nobody's"),
        ((batch.id, "--fee-rate", "9999999"), "over payouts.max_fee_rate"),
        ((batch.id,), "cannot be asked for a fee rate"),  # no node is there
    ):
        code, out, err = bump(*words)
        assert (code, out, err.count("\n")) == (1, "", 1) and problem in err
    assert bump(batch.id, "--fee-rate", "0")[0] == 2
    assert world.batches()[0].bump_rate is None
