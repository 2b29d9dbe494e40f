"""The account ledger: sums, maturity, exact undo, no transfer twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.accounts.ledger import Account, Accounts, LedgerBlock, Movement
from chains.accounts.transfer import MAX_AMOUNT, Payment, Transfer, sign
from chains.primitives.address import pay_to_pubkey_hash
from chains.walk.outcome import Applied, Ignored

CHAIN, OTHER_CHAIN = b"\x11" * 32, b"\x22" * 32
SECRETS = [bytes(31) + bytes((number,)) for number in (1, 2, 3)]
KEYS = [PrivateKey(secret).public_key.format() for secret in SECRETS]
SCRIPTS = [pay_to_pubkey_hash(key) for key in KEYS]
MINER = b"\x51"


def pay(who: int, nonce: int, amount: int, to: bytes, fee: int = 1, chain: bytes = CHAIN) -> Transfer:
    return sign(Transfer(SCRIPTS[who], KEYS[who], nonce, fee, (Payment(to, amount),)), chain, SECRETS[who])


def block(
    ledger: Accounts, *transfers: Transfer, to: bytes = MINER, reward: int = 50, strict: bool = True
) -> LedgerBlock:
    return LedgerBlock(ledger.height + 1, (Payment(to, reward),), to, transfers, strict)


def funded() -> Accounts:
    """Accounts 0 to 2 with 50 each to spend, maturity 2."""
    ledger = Accounts(CHAIN, 2)
    for script in SCRIPTS:
        assert isinstance(ledger.apply(block(ledger, to=script)), Applied)
    for _ in range(2):
        ledger.apply(block(ledger))
    return ledger


def held(ledger: Accounts) -> int:
    scripts = [*SCRIPTS, MINER]
    return sum(ledger.account(script).balance + ledger.immature(script) for script in scripts)


def test_ledger_reward_can_be_spent_maturity_blocks_later() -> None:
    ledger = Accounts(CHAIN, 2)
    ledger.apply(block(ledger, to=SCRIPTS[0]))
    assert (ledger.account(SCRIPTS[0]).balance, ledger.immature(SCRIPTS[0])) == (0, 50)
    spend = pay(0, 0, 20, SCRIPTS[1])
    assert ledger.apply(block(ledger, spend)) == Ignored("insufficient-balance")
    ledger.apply(block(ledger))
    assert isinstance(ledger.apply(block(ledger, spend)), Applied), "height 3 spends what height 1 earned"
    assert ledger.account(SCRIPTS[0]) == Account(29, 1)
    assert ledger.account(SCRIPTS[1]) == Account(20, 0)
    assert ledger.immature(MINER) == 50 + 51, "the fee waits with the reward"
    assert ledger.height_of(spend.id_on(CHAIN)) == 3


def test_ledger_pays_nothing_twice() -> None:
    ledger = funded()
    spend = pay(0, 0, 20, SCRIPTS[1])
    ledger.apply(block(ledger, spend))
    assert ledger.apply(block(ledger, spend)) == Ignored("nonce-used")
    assert ledger.apply(block(ledger, pay(0, 2, 1, MINER))) == Ignored("nonce-gap")


def test_ledger_takes_no_transfer_of_another_chain() -> None:
    ledger = funded()
    assert ledger.apply(block(ledger, pay(0, 0, 1, MINER, chain=OTHER_CHAIN))) == Ignored("bad-signature")


def test_ledger_strict_block_is_all_or_nothing_and_lenient_one_leaves_out_the_bad() -> None:
    ledger = funded()
    good, bad = pay(0, 0, 20, SCRIPTS[1]), pay(1, 0, 1000, MINER)
    before = ledger.snapshot()
    assert ledger.apply(block(ledger, good, bad)) == Ignored("insufficient-balance")
    assert ledger.snapshot() == before
    applied = ledger.apply(block(ledger, good, bad, strict=False))
    assert isinstance(applied, Applied)
    assert applied.ignored == ((bad.id_on(CHAIN), "insufficient-balance"),)
    assert ledger.account(SCRIPTS[1]).balance == 70
    ledger.undo(applied.undo)
    assert ledger.snapshot() == before


def test_ledger_transfers_of_one_block_build_on_each_other() -> None:
    ledger = funded()
    applied = ledger.apply(block(ledger, pay(0, 0, 49, SCRIPTS[1]), pay(1, 0, 90, SCRIPTS[0]), pay(0, 1, 1, MINER)))
    assert isinstance(applied, Applied)
    assert ledger.account(SCRIPTS[0]) == Account(88, 2)


def test_ledger_history_tells_every_movement_of_an_account() -> None:
    ledger = funded()
    spend = pay(0, 0, 20, SCRIPTS[0], fee=3)
    ledger.apply(block(ledger, spend))
    name = spend.id_on(CHAIN)
    assert list(ledger.history(SCRIPTS[0])) == [Movement(1, None, 50), Movement(6, name, -23), Movement(6, name, 20)]
    assert ledger.history(b"\x52") == ()


def test_ledger_never_issues_more_than_there_can_be() -> None:
    ledger = Accounts(CHAIN, 1)
    ledger.apply(block(ledger, reward=MAX_AMOUNT))
    before = ledger.snapshot()
    assert ledger.apply(block(ledger, reward=1)) == Ignored("supply")
    assert ledger.snapshot() == before


def test_ledger_refuses_a_caller_that_lost_count() -> None:
    ledger = funded()
    with pytest.raises(ValueError, match="does not follow"):
        ledger.apply(replace(block(ledger), height=9))
    with pytest.raises(ValueError, match="negative reward"):
        ledger.apply(block(ledger, reward=-1))
    with pytest.raises(ValueError, match="32 bytes"):
        Accounts(b"", 1)


Move = tuple[int, int, int, int, int]
WHO = st.integers(0, 2)
MOVES = st.lists(
    st.lists(st.tuples(WHO, st.integers(0, 3), st.integers(1, 60), WHO, st.integers(0, 3)), max_size=3), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(MOVES, st.booleans())
def test_ledger_conserves_every_unit_and_undo_is_exact(moves: list[list[Move]], strict: bool) -> None:
    ledger = funded()
    undos = []
    snapshots = []
    for transfers in moves:
        snapshots.append(ledger.snapshot())
        made = [pay(who, nonce, amount, SCRIPTS[to], fee) for who, nonce, amount, to, fee in transfers]
        applied = ledger.apply(block(ledger, *made, to=SCRIPTS[0], strict=strict))
        if isinstance(applied, Ignored):
            assert ledger.snapshot() == snapshots.pop()
        else:
            undos.append(applied.undo)
        assert held(ledger) == ledger.issued == 50 * ledger.height
        assert all(ledger.account(script).balance >= 0 for script in SCRIPTS)
    for undo in reversed(undos):
        ledger.undo(undo)
        assert ledger.snapshot() == snapshots.pop()
