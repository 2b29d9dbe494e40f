"""The mempool of an account chain: bounds, replacement, reorganisations; and what it offers can be applied."""

from __future__ import annotations

from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.accounts.ledger import Accounts, LedgerBlock
from chains.accounts.mempool import MAX_PER_SENDER, Mempool, Refused, Taken
from chains.accounts.transfer import Payment, Transfer, sign
from chains.primitives.address import pay_to_pubkey_hash
from chains.walk.outcome import Applied

CHAIN = b"\x11" * 32
SECRETS = [bytes(31) + bytes((number,)) for number in (1, 2, 3)]
KEYS = [PrivateKey(secret).public_key.format() for secret in SECRETS]
SCRIPTS = [pay_to_pubkey_hash(key) for key in KEYS]
TO = b"\x00\x14" + bytes(20)


def pay(who: int, nonce: int, amount: int = 1, fee: int = 1000) -> Transfer:
    return sign(Transfer(SCRIPTS[who], KEYS[who], nonce, fee, (Payment(TO, amount),)), CHAIN, SECRETS[who])


def funded(amount: int = 1_000_000) -> Accounts:
    ledger = Accounts(CHAIN, 1)
    rewards = tuple(Payment(script, amount) for script in SCRIPTS)
    ledger.apply(LedgerBlock(1, rewards, b"\x51", ()))
    ledger.apply(LedgerBlock(2, (), b"\x51", ()))
    return ledger


def name(transfer: Transfer) -> bytes:
    return transfer.id_on(CHAIN)


def test_account_mempool_takes_what_could_be_applied_and_says_why_not() -> None:
    pool = Mempool(funded(), fee_rate=1000)
    assert pool.add(pay(0, 0)) == Taken(name(pay(0, 0)))
    assert pool.add(pay(0, 0)) == Refused(name(pay(0, 0)), "known")
    assert pool.add(pay(0, 2)) == Refused(name(pay(0, 2)), "nonce-gap")
    assert pool.add(pay(0, 1, fee=10)) == Refused(name(pay(0, 1, fee=10)), "fee-too-low")
    rich = pay(0, 1, amount=999_000)
    assert pool.add(rich) == Refused(name(rich), "insufficient-balance"), "what waits is counted"
    forged = Transfer(SCRIPTS[0], KEYS[0], 1, 1000, (Payment(TO, 1),), bytes(64))
    assert pool.add(forged) == Refused(name(forged), "bad-signature")
    assert pool.next_nonce(SCRIPTS[0]) == 1
    assert pool.spoken_for(SCRIPTS[0]) == 1001


def test_account_mempool_replaces_only_for_a_fee_that_pays_its_own_relay() -> None:
    pool = Mempool(funded(), fee_rate=1000)
    first = pay(0, 0)
    pool.add(first)
    close = pay(0, 0, fee=1000 + pool.least_fee(len(first.serialize())) - 1)
    assert pool.add(close) == Refused(name(close), "replacement-fee-too-low")
    better = pay(0, 0, fee=1000 + pool.least_fee(len(first.serialize())))
    assert pool.add(better) == Taken(name(better), (name(first),))
    assert name(first) not in pool
    assert len(pool) == 1


def test_account_mempool_holds_a_bounded_line_per_sender() -> None:
    pool = Mempool(funded())
    for nonce in range(MAX_PER_SENDER):
        assert isinstance(pool.add(pay(0, nonce)), Taken)
    over = pay(0, MAX_PER_SENDER)
    assert pool.add(over) == Refused(name(over), "too-many-waiting")


def test_account_mempool_drives_out_the_worst_last_transfer_when_full() -> None:
    size = len(pay(0, 0).serialize())
    pool = Mempool(funded(), max_bytes=3 * size)
    cheap, costly, last = pay(0, 0, fee=10), pay(1, 0, fee=50), pay(1, 1, fee=5)
    for one in (cheap, costly, last):
        assert isinstance(pool.add(one), Taken)
    poor = pay(2, 0, fee=5)
    assert pool.add(poor) == Refused(name(poor), "mempool-full")
    rich = pay(2, 0, fee=20)
    assert pool.add(rich) == Taken(name(rich), (name(last),)), "the costly one has the worst last"
    richer = pay(2, 1, fee=20)
    assert pool.add(richer) == Taken(name(richer), (name(cheap),))


def test_account_mempool_follows_the_chain_back_and_forth() -> None:
    ledger = funded()
    pool = Mempool(ledger)
    first, second = pay(0, 0), pay(0, 1)
    pool.add(first)
    pool.add(second)
    applied = ledger.apply(LedgerBlock(3, (), b"\x51", (first,)))
    assert isinstance(applied, Applied)
    assert pool.follow() == (name(first),)
    assert name(second) in pool
    ledger.undo(applied.undo)
    assert pool.follow([first]) == ()
    assert name(first) in pool
    assert name(second) in pool, "what stands on it waits with it"


MADE = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(1, 400), st.integers(1, 50)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(MADE, st.integers(0, 2000))
def test_account_mempool_choice_can_always_be_applied(made: list[tuple[int, int, int, int]], limit: int) -> None:
    ledger = funded(amount=500)
    pool = Mempool(ledger)
    for who, nonce, amount, fee in made:
        pool.add(pay(who, nonce, amount, fee))
    chosen = pool.choose(limit)
    assert sum(len(one.serialize()) for one in chosen) <= limit
    assert isinstance(ledger.apply(LedgerBlock(3, (), b"\x51", chosen)), Applied)
    pool.follow()
    assert isinstance(ledger.apply(LedgerBlock(4, (), b"\x51", pool.choose(10**6))), Applied)
