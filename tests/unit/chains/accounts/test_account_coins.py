"""An account as coins: what it was given, less what transfers of ours took, is its balance, whatever a reorg does."""

from __future__ import annotations

from random import Random

import pytest
from coincurve import PrivateKey

from chains.accounts.coins import Line, Spend, coins_of, nonce_name
from chains.accounts.ledger import Accounts, LedgerBlock
from chains.accounts.transfer import Payment, Transfer, sign
from chains.primitives.address import pay_to_pubkey_hash
from chains.walk.outcome import Applied
from chains.wallet import Outpoint

SECRET = bytes(31) + b"\x07"
KEY = PrivateKey(SECRET).public_key.format()
SCRIPT = pay_to_pubkey_hash(KEY)
CHAIN = b"\x11" * 32
A, B, C = (bytes((number,)) * 32 for number in (1, 2, 3))
X, Y = b"\xaa" * 32, b"\xbb" * 32


def shown(lines: list[Line], spends: dict[bytes, Spend], height: int = 100, maturity: int = 3) -> dict[Outpoint, int]:
    found = coins_of(lines, spends, script=SCRIPT, height=height, maturity=maturity)
    assert not found.strangers
    return {coin.outpoint: coin.amount for coin in found.coins}


def test_account_coins_are_rewards_by_block_and_what_others_sent() -> None:
    lines = [Line(1, A, None, 50), Line(1, A, None, 7), Line(2, B, X, 5), Line(2, B, X, 6), Line(9, C, None, 50)]
    assert shown(lines, {}, height=12) == {Outpoint(A, 0): 57, Outpoint(X, 0): 11, Outpoint(C, 0): 50}
    assert Outpoint(C, 0) not in shown(lines, {}, height=11), "3 confirmations, and more than 3 are asked for"
    coins = coins_of(lines, {}, script=SCRIPT, height=12, maturity=3).coins
    assert [(coin.confirmations, coin.coinbase) for coin in coins] == [(12, True), (4, True), (11, False)]
    assert {coin.script for coin in coins} == {SCRIPT}


def test_account_coins_a_transfer_of_ours_takes_what_its_batch_names() -> None:
    lines = [Line(1, A, None, 100), Line(2, B, X, 10), Line(5, C, Y, -60)]
    spend = Spend(((Outpoint(A, 0), 100),), (Outpoint(Y, 2), 40))
    assert shown(lines, {Y: spend}) == {Outpoint(X, 0): 10, Outpoint(Y, 2): 40}
    assert shown(lines[:2], {Y: spend}) == {Outpoint(A, 0): 100, Outpoint(X, 0): 10}, "not in the chain, took nothing"
    lone = Spend(((Outpoint(A, 0), 60),), None)
    assert Outpoint(A, 0) not in shown([Line(1, A, None, 60), Line(5, C, Y, -60)], {Y: lone})


def test_account_coins_that_a_reorg_took_are_off_the_change() -> None:
    spend = Spend(((Outpoint(A, 0), 100), (Outpoint(X, 0), 10)), (Outpoint(Y, 2), 50))
    found = coins_of([Line(1, A, None, 100), Line(5, C, Y, -60)], {Y: spend}, script=SCRIPT, height=9, maturity=1)
    assert found.missing == 10
    assert [coin.amount for coin in found.coins] == [40] and found.balance == 40
    found = coins_of([Line(2, B, X, 10), Line(2, B, b"z" * 32, 70), Line(5, C, Y, -60)], {Y: spend}, script=SCRIPT,
                     height=9, maturity=1)  # fmt: skip
    assert found.missing == 100
    assert [(coin.outpoint.txid, coin.amount) for coin in found.coins] == [(b"z" * 32, 20)], "more than the change"


def test_account_coins_tell_who_else_has_the_key() -> None:
    stranger = Line(5, C, X, -60)
    found = coins_of([Line(1, A, None, 100), stranger], {}, script=SCRIPT, height=9, maturity=1)
    assert found.strangers == (stranger,)


def test_account_coins_of_a_transfer_to_ourselves() -> None:
    spend = Spend(((Outpoint(A, 0), 100),), (Outpoint(Y, 1), 50))
    lines = [Line(1, A, None, 100), Line(5, C, Y, -50), Line(5, C, Y, 45)]
    assert shown(lines, {Y: spend}) == {Outpoint(Y, 1): 50, Outpoint(Y, 0): 45}


def test_account_coins_turns_of_an_account_have_names_of_their_own() -> None:
    names = {nonce_name(chain, script, nonce) for chain in (A, B) for script in (SCRIPT, X) for nonce in (0, 1)}
    assert len(names) == 8


@pytest.mark.parametrize("seed", range(40))
def test_account_coins_are_the_balance_of_the_real_ledger(seed: int) -> None:
    """Random blocks, our transfers over random coins, and reorgs: the sum is what the ledger says, to the unit."""
    random = Random(seed)
    accounts = Accounts(CHAIN, 2)
    undos = []
    spends: dict[bytes, Spend] = {}
    salt = 0
    waiting: Transfer | None = None
    blocks: list[bytes] = []

    def lines() -> list[Line]:
        return [Line(m.height, blocks[m.height - 1], m.id, m.amount) for m in accounts.history(SCRIPT)]

    for _ in range(60):
        found = coins_of(lines(), spends, script=SCRIPT, height=accounts.height, maturity=2)
        assert not found.strangers
        assert found.balance == accounts.account(SCRIPT).balance or (not found.coins and found.missing < 0)
        if undos and random.random() < 0.3:
            for _ in range(random.randint(1, min(4, len(undos)))):
                accounts.undo(undos.pop())
                blocks.pop()
            continue
        nonce = accounts.account(SCRIPT).nonce
        if found.coins and random.random() < 0.5 and (waiting is None or waiting.nonce != nonce):
            chosen = random.sample(found.coins, random.randint(1, len(found.coins)))
            total = sum(coin.amount for coin in chosen)
            net = random.randint(1, total)
            waiting = sign(Transfer(SCRIPT, KEY, nonce, 0, (Payment(b"\x51", net),)), CHAIN, SECRET)
            name = waiting.id_on(CHAIN)
            change = (Outpoint(name, 1), total - net) if total > net else None
            spends[name] = Spend(tuple((coin.outpoint, coin.amount) for coin in chosen), change)
        salt += 1
        rewards = (Payment(SCRIPT, random.randint(1, 99)),) * random.randint(0, 2)
        transfers = (waiting,) if waiting is not None and random.random() < 0.6 else ()
        blocks.append(salt.to_bytes(32, "big"))
        done = accounts.apply(LedgerBlock(accounts.height + 1, rewards, SCRIPT, transfers, strict=False))
        assert isinstance(done, Applied)
        undos.append(done.undo)
