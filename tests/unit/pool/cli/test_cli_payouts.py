"""`pool payouts`: exit codes, orders that may be repeated, and decisions; with the payer going on from them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from ruamel.yaml import YAML
from support.payout_world import CHAIN, PayoutWorld, address_of, script_of

from chains.node_rpc import NodeUnavailableError
from pool.cli import commands
from pool.config.configuration import load
from pool.payouts.batch import BatchState
from pool.storage.database import upgrade

DEVNET = str(Path(__file__).parents[4] / "deploy/devnet.yaml")
AMOUNTS = {1: 500_000, 2: 300_000}
T = TypeVar("T")


class Outcome(NamedTuple):
    exit_code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def run_beside(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, beside the test's own loop."""

    def run() -> T:
        with asyncio.Runner() as runner:
            return runner.run(work)

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(run).result()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PayoutWorld]:
    """The payer of the devnet's chain alpha, over the books that the commands write."""
    url = load(DEVNET, {"pool.data_dir": str(tmp_path)}).database_url()
    upgrade(url)
    world = PayoutWorld(tmp_path, url, confirmations=2)
    yield world
    world.close()


@pytest.fixture
def payouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `pool payouts COMMAND ...` over the books in tmp_path; one chain pays, the others do not."""
    config = YAML(typ="safe").load(Path(DEVNET))
    for chain in config["chains"].values():
        chain.pop("payouts", None)
    config["chains"][CHAIN]["payouts"] = {"minimum_payout": 10_000}
    config["pool"]["data_dir"] = str(tmp_path)
    with (tmp_path / "pool.yaml").open("w") as file:
        YAML(typ="safe").dump(config, file)

    def run(*words: str) -> Outcome:
        given = ["-c", str(tmp_path / "pool.yaml")]
        monkeypatch.setattr(sys, "argv", ["pool", "payouts", *words[:1], *given, *words[1:]])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, *capsys.readouterr())

    return run


async def test_cli_payouts_plan_tells_who_would_be_paid_and_writes_nothing(payouts: Run, world: PayoutWorld) -> None:
    world.owe(AMOUNTS | {3: 5})
    found = payouts("plan", CHAIN, "--dry-run")
    assert found.exit_code == 0
    assert found.out.splitlines() == [
        f"pay 500000 to {address_of(1)}",
        f"pay 300000 to {address_of(2)}",
        "2 payouts, 800000 in all; 1 accounts below their minimum",
    ]
    assert world.batches() == []


async def test_cli_payouts_show_tells_batches_and_ends_with_1_while_something_waits(
    payouts: Run, world: PayoutWorld
) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    shown = payouts("show", CHAIN)
    assert shown.exit_code == 0
    assert f"{CHAIN}: wallet " in shown.out
    (batch,) = world.batches()
    assert f"batch {batch.id} payout settled since " in shown.out
    one = payouts("show", "--batch", batch.id)
    assert one.exit_code == 0
    assert f"settled 500000 to {address_of(1)}, 500000 arrived as output 0" in one.out
    assert "send: sent" in one.out
    assert payouts("show", "--batch", "none").exit_code == 1
    assert payouts("hold", CHAIN, "--reason", "moving").out == f"{CHAIN} is on hold\n"
    assert payouts("hold", CHAIN, "--reason", "moving").out == f"{CHAIN} is on hold already\n"
    held = payouts("show", CHAIN)
    assert held.exit_code == 1
    assert "cause operator: moving" in held.out
    assert payouts("release", CHAIN, "--reason", "moved").out == f"1 holds of {CHAIN} are over\n"
    assert payouts("release", CHAIN, "--reason", "moved").out == f"0 holds of {CHAIN} are over\n"
    assert payouts("show", CHAIN).exit_code == 0


async def test_cli_payouts_a_deposit_is_claimed_once_and_taken_out_again(payouts: Run, world: PayoutWorld) -> None:
    coin = world.wallet.deposit(400_000)
    world.owe(AMOUNTS, fee=0)
    name = f"{coin.txid[::-1].hex()}:{coin.vout}"
    assert payouts("fund", CHAIN, name).exit_code == 1
    await world.passes(3)
    assert world.batches() == []  # nobody bears the fee yet
    assert f"deposit {name} of 400000" in payouts("show", CHAIN).out
    for _ in range(2):
        assert payouts("fund", CHAIN, name).out == "400000 are the operator's\n"
    assert world.balances()["equity.operator.available"] == 400_000
    world.now_ms += 600_000
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    for _ in range(2):
        ordered = payouts("withdraw", CHAIN, address_of(77), "300000", "--ref", "november")
        assert (ordered.exit_code, ordered.out) == (0, f"batch withdraw-{CHAIN}-november is planned\n")
    await world.passes(6)
    assert world.wallet.paid(script_of(77)) == [300_000]
    assert payouts("withdraw", CHAIN, address_of(77), "300000", "--ref", "november").out.endswith(" is settled\n")
    other = payouts("withdraw", CHAIN, address_of(77), "200000", "--ref", "november")
    assert (other.exit_code, other.err.count("\n")) == (1, 1)
    world.check_exact(AMOUNTS, AMOUNTS)
    assert world.balances()["equity.operator.withdrawn"] == -300_000


async def test_cli_payouts_nobody_takes_out_what_is_owed(payouts: Run, world: PayoutWorld) -> None:
    world.owe(AMOUNTS, fee=100_000)
    refused = payouts("withdraw", CHAIN, address_of(77), "100001", "--ref", "greedy")
    assert refused.exit_code == 1
    assert "less than what is owed" in refused.err
    assert world.batches() == []
    assert world.balances().get("equity.operator.withdrawn", 0) == 0


async def test_cli_payouts_a_sweep_leaves_the_wallet_and_stays_in_the_books(payouts: Run, world: PayoutWorld) -> None:
    world.owe({1: 9_000}, fee=500_000)
    await world.passes(1)
    assert payouts("sweep", CHAIN, address_of(88), "300000", "--ref", "cold").exit_code == 0
    await world.passes(6)
    assert world.wallet.paid(script_of(88)) == [300_000]
    assert world.batches()[0].state is BatchState.SETTLED
    assert world.balances()["asset.wallet"] == world.wallet.holds() + 300_000
    world.now_ms += 600_000
    await world.passes(2)
    assert world.holds() == []


async def test_cli_payouts_consolidate_makes_one_coin_of_many(payouts: Run, world: PayoutWorld) -> None:
    for number in (1, 2, 3):
        world.owe({number: 5_000}, fee=50_000)
    await world.passes(1)
    assert payouts("consolidate", CHAIN, "--ref", "tidy").exit_code == 0
    await world.passes(6)
    assert len(await world.wallet.coins()) == 1
    assert world.balances()["asset.wallet"] == world.wallet.holds()


async def test_cli_payouts_a_batch_on_hold_goes_on_or_is_given_up(payouts: Run, world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    world.wallet.refuses = "bad-txns-nonstandard"
    await world.passes(1)
    (batch,) = world.batches()
    assert batch.state is BatchState.HOLD
    assert payouts("show", CHAIN).exit_code == 1
    assert payouts("resolve", CHAIN, "--batch", batch.id, "--reason", "x").exit_code == 2
    gone_on = payouts("resolve", CHAIN, "--batch", batch.id, "--go-on", "--reason", "node updated")
    assert gone_on.out == f"batch {batch.id} is built\n"
    await world.passes(1)
    assert world.batches()[0].state is BatchState.HOLD
    for _ in range(2):
        given_up = payouts("resolve", CHAIN, "--batch", batch.id, "--void", "--reason", "never signed")
        assert given_up.out == f"batch {batch.id} is void\n"
    assert world.owed(1) == (500_000, 0)
    world.wallet.refuses = None
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_cli_payouts_a_signed_batch_is_not_given_up_at_a_word(payouts: Run, world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.step()
    (batch,) = world.batches()
    assert batch.state is BatchState.BROADCAST
    assert payouts("hold", CHAIN, "--batch", batch.id, "--reason", "wait").out == f"batch {batch.id} is hold\n"
    refused = payouts("resolve", CHAIN, "--batch", batch.id, "--void", "--reason", "no patience")
    assert refused.exit_code == 1
    assert "may be paid any time" in refused.err
    assert payouts("resolve", CHAIN, "--batch", batch.id, "--go-on", "--reason", "ok").exit_code == 0
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "gamma"),
        ("show", "gamma"),
        ("plan", "regbtc"),
        ("withdraw", CHAIN, "nonsense", "5", "--ref", "a"),
        ("withdraw", CHAIN, address_of(1), "0.5", "--ref", "a"),
        ("withdraw", CHAIN, address_of(1), "-5", "--ref", "a"),
        ("withdraw", CHAIN, address_of(1), "5", "--ref", "a b"),
        ("fund", CHAIN, "ab:0"),
        ("fund", CHAIN, "ab" * 32),
        ("hold", CHAIN, "--reason", "two\nlines"),
        ("hold", "gamma", "--reason", "x"),
    ],
)
def test_cli_payouts_wrong_use_ends_with_2_and_a_sentence(
    payouts: Run, world: PayoutWorld, words: tuple[str, ...]
) -> None:
    found = payouts(*words)
    assert found.exit_code == 2
    assert found.out == ""
    assert found.err.count("\n") == 1


def test_cli_payouts_without_books_say_so(payouts: Run) -> None:
    assert payouts("show").exit_code == 2


@pytest.mark.parametrize("amount", ["-5", "0.5", "1e8", "0", "+5", "١", "", "9" * 19, "9" * 20])
@pytest.mark.parametrize("command", ["withdraw", "sweep"])
def test_cli_payouts_an_amount_is_whole_units_and_nothing_else(
    payouts: Run, world: PayoutWorld, command: str, amount: str
) -> None:
    found = payouts(command, CHAIN, address_of(1), amount, "--ref", "a")
    assert found.exit_code == 2
    assert "expected whole smallest units" in found.err
    assert world.batches() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("resolve", CHAIN, "--account", "999", "--reason", "x"), "there is no account 999"),
        (("resolve", "beta", "--account", "1", "--reason", "x"), "account 1 is one of alpha, not of beta"),
        (("resolve", CHAIN, "--batch", "none", "--go-on", "--reason", "x"), "there is no batch none"),
        (("resolve", CHAIN, "--batch", "none", "--void", "--reason", "x"), "there is no batch none"),
        (("resolve", "beta", "--batch", "BATCH", "--go-on", "--reason", "x"), "is one of alpha, not of beta"),
        (("resolve", "beta", "--batch", "BATCH", "--void", "--reason", "x"), "is one of alpha, not of beta"),
        (("hold", CHAIN, "--batch", "none", "--reason", "x"), "there is no batch none"),
        (("hold", "beta", "--batch", "BATCH", "--reason", "x"), "is one of alpha, not of beta"),
        (("release", CHAIN, "--cause", "walet", "--reason", "x"), "alpha was never on hold with the cause 'walet'"),
        (("show", "beta", "--batch", "BATCH"), "is one of alpha, not of beta"),
        (("fund", CHAIN, f"{'ab' * 32}:0"), "there is no such deposit in the books"),
    ],
)
async def test_cli_payouts_a_decision_about_nothing_ends_with_1_and_says_so(
    payouts: Run, world: PayoutWorld, words: tuple[str, ...], sentence: str
) -> None:
    world.owe(AMOUNTS)
    assert world.account(1) == 1
    await world.step()
    (batch,) = world.batches()
    found = payouts(*(batch.id if word == "BATCH" else word for word in words))
    assert found.exit_code == 1
    assert sentence in found.out + found.err
    assert world.batches()[0].state is BatchState.BROADCAST
    assert payouts("release", CHAIN, "--reason", "nothing to end, and no fault").exit_code == 0


@pytest.mark.parametrize("command", ["withdraw", "sweep"])
async def test_cli_payouts_an_order_that_no_transaction_could_carry_is_not_taken(
    payouts: Run, world: PayoutWorld, command: str
) -> None:
    world.owe(AMOUNTS)
    dust = payouts(command, CHAIN, address_of(77), "293", "--ref", "a")
    assert (dust.exit_code, dust.err.count("\n")) == (2, 1)
    assert "AMOUNT: expected at least 10000, for nodes take no output below 294" in dust.err
    small = payouts(command, CHAIN, address_of(77), "9999", "--ref", "a")
    assert (small.exit_code, small.err.count("\n")) == (2, 1)
    assert "AMOUNT: expected at least 10000, for of less the network's fee is over 1 % at any rate" in small.err
    assert world.batches() == []
    assert payouts(command, CHAIN, address_of(77), "10000", "--ref", "a").exit_code == 0


async def test_cli_payouts_swept_coins_that_left_change_in_the_cold_wallet_are_taken_back(
    payouts: Run, world: PayoutWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> None:
        """A fake wallet has no connection to close."""

    monkeypatch.setattr(world.wallet, "close", nothing, raising=False)
    monkeypatch.setattr("pool.payout_process.open_wallet", lambda config, chain: world.wallet)
    monkeypatch.setattr("asyncio.run", run_beside)
    world.owe({1: 9_000}, fee=500_000)
    await world.passes(1)
    assert payouts("sweep", CHAIN, address_of(88), "300000", "--ref", "cold").exit_code == 0
    await world.passes(6)
    (coin,) = world.books.cold_coins()
    txid = world.wallet.bring_back([coin.outpoint], fee=250, keep=200_000)
    name = txid[::-1].hex()
    world.wallet.mine(1)
    early = payouts("return", CHAIN, name, "--stays", "1")
    assert (early.exit_code, early.err.count("\n")) == (1, 1)
    assert f"{name} brings no swept coins back: it is 1 deep, expected 6" in early.err
    world.wallet.mine(5)
    assert "its output 1 of 200000 is not the wallet's" in payouts("return", CHAIN, name).err
    unknown = payouts("return", CHAIN, "ab" * 32)
    assert (unknown.exit_code, unknown.err.count("\n")) == (1, 1)
    assert "the wallet does not know it" in unknown.err
    back = payouts("return", CHAIN, name, "--stays", "1")
    assert (back.exit_code, back.out) == (0, "99750 are in the wallet again, 200000 stay cold, 250 was the fee\n")
    assert payouts("return", CHAIN, name).out == "that is in the books already\n"
    assert world.balances()["asset.wallet"] == world.wallet.holds() + 200_000
    await world.passes(2)
    assert world.holds() == []
    assert payouts("return", CHAIN, "ab").exit_code == 2


def told(shown: Outcome) -> list[str]:
    """The lines of `show` about why nothing is paid, between the chain's own line and its batches."""
    words = ("nothing is paid", "they are paid", "nobody is", "account")
    lines = [line.strip() for line in shown.out.splitlines()]
    return [line for line in lines if line.startswith(words) or line[:1].isdigit()]


async def test_cli_payouts_show_tells_why_nothing_is_paid(
    payouts: Run, world: PayoutWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.payout_process.wall_ms", lambda: world.now_ms)
    nobody = told(payouts("show", CHAIN))
    assert nobody == ["nobody is to be paid", "nothing is paid now: nobody is owed enough"]
    world.owe({1: 9_999, 2: 5}, fee=0)
    below = told(payouts("show", CHAIN))
    assert below == [
        "nobody is to be paid", "2 accounts with 10004 are below their minimum",
        "nothing is paid now: nobody is owed enough",
    ]  # fmt: skip
    world.owe({3: 400_000}, fee=0)
    assert told(payouts("show", CHAIN))[0] == "1 account to be paid 400000"
    assert told(payouts("show", CHAIN))[-1] == (
        "nothing is paid now: the pool bears the fees, and nothing lies above what is owed: "
        "`pool payouts fund` puts money in"
    )
    world.owe({4: 1_000}, fee=100_000)
    assert told(payouts("show", CHAIN))[-1] == (
        "nothing is paid now: the coins that may be spent hold 0, the smallest payout is 400000"
    )
    await world.payer.check.look(world.now_ms)  # the wallet's coins are entered
    assert payouts("hold", CHAIN, "--reason", "moving").exit_code == 0
    assert told(payouts("show", CHAIN))[-1] == "nothing is paid now: the chain is on hold (operator)"
    assert payouts("release", CHAIN, "--reason", "moved").exit_code == 0
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert told(payouts("show", CHAIN))[-1] == (
        f"nothing is paid now: batch {batch.id} is sent and in no block yet, and the next one waits for it"
    )
    await world.passes(6)
    world.owe({5: 300_000})
    assert told(payouts("show", CHAIN))[-1] == "nothing is paid now: the next batch is due at 2023-11-15T22:13:20Z"


@pytest.mark.parametrize(
    ("rate", "line"),
    [
        (1_000, "they are paid with the next pass of the payer"),
        (None, "the node has no fee estimate, and payouts.default_fee_rate is not set"),
        (100_001, "the network's fee rate is 100001, over payouts.max_fee_rate of 100000"),
        ("away", "the wallet's node cannot be asked: no connection"),
    ],
)
async def test_cli_payouts_show_asks_the_node_for_its_fee_when_nothing_else_is_in_the_way(
    payouts: Run, world: PayoutWorld, monkeypatch: pytest.MonkeyPatch, rate: Any, line: str
) -> None:
    async def nothing() -> None:
        """A fake wallet has no connection to close."""

    def away(_name: str) -> None:
        raise NodeUnavailableError("no connection")

    monkeypatch.setattr(world.wallet, "close", nothing, raising=False)
    monkeypatch.setattr("pool.payout_process.open_wallet", lambda config, chain: world.wallet)
    monkeypatch.setattr("asyncio.run", run_beside)
    world.owe(AMOUNTS)
    await world.payer.check.look(world.now_ms)
    if rate == "away":
        world.wallet.point = away
    else:
        world.wallet.rate = rate
    shown = payouts("show", CHAIN, "--set", f"chains.{CHAIN}.payouts.default_fee_rate=null")
    assert shown.exit_code == 0
    assert told(shown)[-1].removeprefix("nothing is paid now: ") == line
