"""Miners' settings in the books: what a signed message changes, what it cannot change, and what payouts read of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import pytest
from sqlalchemy import text
from storage_samples import logged, solution
from support.message_signing import SigningKey

from chains.families import network
from pool.accounting.found_block import ChainTerms
from pool.ledger.account import ASSET_IMMATURE, ASSET_WALLET, available, immature
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup
from pool.miners.refusal import MinerFrozenError, NumberUsedError, TooManyMessagesError, UnknownMinerError
from pool.miners.settings_message import Destination, SettingsRules, read_signed, template
from pool.shares.record import AccountKey, Position
from pool.shares.route import route_login
from pool.storage import ledger_store, settings_store
from pool.storage.account_store import account_id
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.held_store import Released, release_registered
from pool.storage.settings_store import MAX_MESSAGES_A_DAY, Applied, PayoutTerms, payout_terms
from pool.storage.settings_views import messages_of, miner_settings
from stratum.words import parse_login

NET = network("devnet", "regtest")
RULES = SettingsRules("main", "regbtc", {"regbtc": NET, "alpha": NET, "beta": NET})
TODAY = date(2026, 11, 21)
NOW_MS = 1_795_000_000_000
ADA, BOB, CLEO, ADA_ALPHA = SigningKey(31), SigningKey(32), SigningKey(33), SigningKey(34)


def of(key: SigningKey, kind: str = "p2wpkh") -> Destination:
    return Destination(key.address(kind, NET), key.script(kind))


@dataclass
class Miners:
    """Books in which Ada and Bob mined; Ada named no address for alpha and beta, Bob named Cleo's for alpha."""

    database: Database

    def say(self, key: SigningKey, number: int, *settings: str, kind: str = "p2wpkh", now_ms: int = NOW_MS) -> Applied:
        """Signs and applies a message."""
        message = template(RULES, of(key, kind), number, TODAY) + "\n".join(settings)
        return self.apply(message, key.sign(kind, message, NET), now_ms)

    def apply(self, message: str, signature: str, now_ms: int = NOW_MS) -> Applied:
        read = read_signed(message, signature, RULES, TODAY)
        with self.database.write() as connection:
            return settings_store.apply_message(connection, read, message, signature, RULES, now_ms)

    def account(self, chain: str, kind: str, key: SigningKey, script_kind: str = "p2wpkh") -> int:
        with self.database.write() as connection:
            return account_id(connection, chain, AccountKey(kind, key.script(script_kind).hex(), of(key).address))

    def earn(self, chain: str, account: int, amount: int, *, final: bool = True) -> None:
        """Credits an account; `final` or still immature."""
        asset, liability = (ASSET_WALLET, available) if final else (ASSET_IMMATURE, immature)
        with self.database.write() as connection:
            number = connection.execute(text("SELECT COUNT(*) FROM transfer_groups")).scalar_one()
            transfers = (Transfer(asset, liability(account), amount),)
            ledger_store.post(connection, TransferGroup(f"test:{chain}:{number}", chain, "test", transfers), NOW_MS)

    def balances(self, chain: str) -> dict[str, int]:
        with self.database.read() as connection:
            assert ledger_store.audit(connection) == []
            return {name: n for name, n in ledger_store.chain_balances(connection, chain).items() if n}

    def terms(self, chain: str) -> dict[int, PayoutTerms]:
        with self.database.read() as connection:
            return dict(payout_terms(connection, chain))

    def seen(self, key: SigningKey) -> dict[str, object]:
        with self.database.read() as connection:
            return miner_settings(connection, of(key), "regbtc")


@pytest.fixture
def miners(database: Database) -> Miners:
    books = SqlBooks(database)
    batch = []
    for number, login in enumerate((of(ADA).address, f"{of(BOB).address}+alpha={of(CLEO).address}"), 1):
        routed = route_login(parse_login(login), {}, RULES.networks, "regbtc")
        batch.append(logged(number, routed.route))
    books.store_shares(batch, Position(1, 9), NOW_MS)
    return Miners(database)


def test_settings_minimum_payout_is_of_the_miners_own_accounts(miners: Miners) -> None:
    miners.say(ADA, 1, "minimum-payout: regbtc 0.5", "minimum-payout: alpha 2")
    parent = miners.account("regbtc", "miner", ADA)
    held = miners.account("alpha", "held", ADA)
    assert miners.terms("regbtc") == {parent: PayoutTerms(minimum=50_000_000)}
    assert miners.terms("alpha") == {held: PayoutTerms(minimum=200_000_000)}
    assert miners.terms("beta") == {}
    miners.say(ADA, 2, "minimum-payout: regbtc default", "minimum-payout: alpha 0")
    assert miners.terms("regbtc") == {parent: PayoutTerms()}
    assert miners.terms("alpha") == {held: PayoutTerms(minimum=0)}


def test_settings_hold_for_accounts_that_appear_later(miners: Miners) -> None:
    miners.say(ADA, 1, "minimum-payout: alpha 1", f"register: alpha {of(CLEO, 'p2pkh').address}")
    same_key = miners.account("alpha", "miner", ADA, "p2pkh")  # what `alpha=same` would give on a chain without segwit
    terms = miners.terms("alpha")[same_key]
    assert terms == PayoutTerms(100_000_000, False, CLEO.script("p2pkh"), of(CLEO, "p2pkh").address)


def test_settings_of_a_login_that_named_somebody_elses_address_do_not_reach_it(miners: Miners) -> None:
    """Bob's login names Cleo's alpha address. Bob's signature changes nothing about it."""
    cleos = miners.account("alpha", "miner", CLEO)
    miners.earn("alpha", cleos, 70)
    his = of(BOB).address
    applied = miners.say(
        BOB, 1, "minimum-payout: alpha 1000", f"register: alpha {his}", f"release-held: alpha {his}"
    )
    assert applied == Applied(1, again=False)
    assert cleos not in miners.terms("alpha")
    assert miners.balances("alpha") == {ASSET_WALLET: 70, available(cleos): 70}


def test_settings_registered_parent_address_is_where_payouts_go(miners: Miners) -> None:
    parent = miners.account("regbtc", "miner", ADA)
    miners.earn("regbtc", parent, 90)
    miners.say(ADA, 1, f"register: regbtc {of(CLEO, 'p2tr').address}")
    elsewhere = PayoutTerms(None, False, CLEO.script("p2tr"), of(CLEO, "p2tr").address)
    assert miners.terms("regbtc") == {parent: elsewhere}
    assert miners.balances("regbtc") == {ASSET_WALLET: 90, available(parent): 90}
    miners.say(ADA, 2, "register: regbtc none")
    assert miners.terms("regbtc") == {parent: PayoutTerms()}


def test_settings_registration_releases_what_is_held_now_and_later(miners: Miners) -> None:
    held = miners.account("alpha", "held", ADA)
    miners.earn("alpha", held, 60)
    miners.earn("alpha", held, 5, final=False)
    to = of(ADA_ALPHA)
    applied = miners.say(ADA, 1, f"register: alpha {to.address}")
    assert applied.released == (Released("alpha", 60, to.address),)
    receiver = miners.account("alpha", "miner", ADA_ALPHA)
    still_held = {ASSET_IMMATURE: 5, immature(held): 5}
    assert miners.balances("alpha") == {ASSET_WALLET: 60, available(receiver): 60, **still_held}
    assert miners.terms("alpha")[held] == PayoutTerms()  # a held account is never paid

    miners.earn("alpha", held, 7)
    with miners.database.write() as connection:
        assert release_registered(connection, "beta", NOW_MS) == []
        assert release_registered(connection, "alpha", NOW_MS) == [Released("alpha", 7, to.address)]
        assert release_registered(connection, "alpha", NOW_MS) == []
    assert miners.balances("alpha") == {ASSET_WALLET: 67, available(receiver): 67, **still_held}
    query = text("SELECT id FROM transfer_groups WHERE kind = 'release' ORDER BY id")
    with miners.database.read() as connection:
        ids = connection.execute(query).scalars().all()
    assert ids == [f"release:alpha:{held}:1", f"release:alpha:{held}:2"]

    miners.say(ADA, 2, "register: alpha none")
    miners.earn("alpha", held, 9)
    with miners.database.write() as connection:
        assert release_registered(connection, "alpha", NOW_MS) == []


def test_settings_registered_address_gets_held_credits_as_soon_as_their_block_is_final(miners: Miners) -> None:
    """Mined, credited while nothing is registered, registered, matured: the way of every held credit."""
    books = SqlBooks(miners.database)
    books.book_solution(solution("alpha", 5, 2), "submitted", "", NOW_MS)
    (block,) = books.watched_blocks("alpha")
    assert books.credit(block, 5, 1, 1000, ChainTerms(0, 2, 3600, 10), NOW_MS) is not None
    held, bobs = miners.account("alpha", "held", ADA), miners.account("alpha", "miner", CLEO)
    earned = miners.balances("alpha")[immature(held)]
    assert miners.say(ADA, 1, f"register: alpha {of(ADA_ALPHA).address}").released == ()
    books.mature(books.watched_blocks("alpha")[0], 10, NOW_MS)
    receiver = miners.account("alpha", "miner", ADA_ALPHA)
    assert miners.balances("alpha") == {
        ASSET_WALLET: 1000, available(receiver): earned, available(bobs): 1000 - earned,
    }  # fmt: skip


def test_settings_release_held_is_for_once(miners: Miners) -> None:
    held = miners.account("alpha", "held", ADA)
    miners.earn("alpha", held, 60)
    line = f"release-held: alpha {of(ADA_ALPHA).address}"
    assert miners.say(ADA, 1, line).released == (Released("alpha", 60, of(ADA_ALPHA).address),)
    miners.earn("alpha", held, 9)
    with miners.database.write() as connection:
        assert release_registered(connection, "alpha", NOW_MS) == []
    assert miners.balances("alpha")[available(held)] == 9
    assert miners.say(ADA, 2, line).released == (Released("alpha", 9, of(ADA_ALPHA).address),)
    assert miners.say(ADA, 3, line, line.replace("alpha", "beta", 1)).released == ()


def test_settings_message_is_taken_once_and_kept_as_proof(miners: Miners) -> None:
    held = miners.account("alpha", "held", ADA)
    miners.earn("alpha", held, 60)
    message = template(RULES, of(ADA), 4, TODAY) + f"release-held: alpha {of(ADA_ALPHA).address}"
    signature = ADA.sign("p2wpkh", message, NET)
    assert not miners.apply(message, signature).again
    miners.earn("alpha", held, 8)
    before = miners.balances("alpha")
    assert miners.apply(message, signature) == Applied(4, again=True)  # an answer that was lost on its way, or a replay
    assert miners.balances("alpha") == before
    with miners.database.read() as connection:
        assert messages_of(connection, of(ADA)) == [
            {"source": "miner", "number": 4, "message": message, "signature": signature, "received_ms": NOW_MS}
        ]


@pytest.mark.parametrize("number", [1, 4, 5])
def test_settings_message_with_a_used_number_is_refused(miners: Miners, number: int) -> None:
    miners.say(ADA, 5, "minimum-payout: alpha 1")
    with pytest.raises(NumberUsedError, match="the next is 6"):
        miners.say(ADA, number, "minimum-payout: alpha 2")
    assert miners.seen(ADA)["chains"] == {"alpha": {"minimum_payout": 100_000_000, "registered": None}}
    assert miners.say(ADA, 6, "minimum-payout: alpha 2").number == 6
    assert miners.say(BOB, 1, "minimum-payout: alpha 2").number == 1


def test_settings_messages_with_one_number_at_the_same_time_are_one(miners: Miners, url: str) -> None:
    """Four processes get different messages with the number 1: one is applied, the others are told."""

    def say(minimum: int) -> int:
        own = Miners(Database(url))
        try:
            own.say(ADA, 1, f"minimum-payout: alpha {minimum}")
            return minimum
        except NumberUsedError:
            return 0
        finally:
            own.database.close()

    with ThreadPoolExecutor(4) as threads:
        done = [minimum for minimum in threads.map(say, (1, 2, 3, 4)) if minimum]
    assert len(done) == 1
    assert miners.seen(ADA)["chains"] == {"alpha": {"minimum_payout": done[0] * 100_000_000, "registered": None}}


def test_settings_of_strangers_are_refused(miners: Miners) -> None:
    """Keys cost nothing: the books keep no word of who never mined."""
    with pytest.raises(UnknownMinerError):
        miners.say(SigningKey(99), 1, "minimum-payout: alpha 1")
    with miners.database.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM settings_messages")).scalar() == 0
        assert connection.execute(text("SELECT COUNT(*) FROM account_settings")).scalar() == 0


def test_settings_messages_a_day_are_limited(miners: Miners) -> None:
    for number in range(1, MAX_MESSAGES_A_DAY + 1):
        miners.say(ADA, number, "minimum-payout: alpha 1")
    with pytest.raises(TooManyMessagesError):
        miners.say(ADA, 100, "minimum-payout: alpha 1")
    assert miners.say(BOB, 1, "minimum-payout: alpha 1").number == 1
    next_day_ms = NOW_MS + settings_store.DAY_MS
    assert miners.say(ADA, 100, "minimum-payout: alpha 1", now_ms=next_day_ms).number == 100


def test_settings_frozen_miner_is_not_paid_and_changes_nothing(miners: Miners) -> None:
    parent, held = miners.account("regbtc", "miner", ADA), miners.account("alpha", "held", ADA)
    miners.say(ADA, 1, f"register: alpha {of(ADA_ALPHA).address}")
    miners.earn("alpha", held, 60)
    with miners.database.write() as connection:
        assert settings_store.freeze(connection, of(ADA), "stolen rigs", NOW_MS)
        assert not settings_store.freeze(connection, of(ADA), "again", NOW_MS)
        assert release_registered(connection, "alpha", NOW_MS) == []
    assert miners.terms("regbtc")[parent].frozen
    assert miners.terms("alpha")[held].frozen
    assert miners.seen(ADA)["frozen"] == "stolen rigs"
    for line in (f"release-held: alpha {of(CLEO).address}", "minimum-payout: alpha 1"):
        with pytest.raises(MinerFrozenError):
            miners.say(ADA, 2, line)
    with miners.database.write() as connection:
        assert settings_store.unfreeze(connection, of(ADA), "they were theirs", NOW_MS)
        assert not settings_store.unfreeze(connection, of(ADA), "again", NOW_MS)
        assert release_registered(connection, "alpha", NOW_MS) == [Released("alpha", 60, of(ADA_ALPHA).address)]
        noted = [row["message"] for row in messages_of(connection, of(ADA))]
    assert miners.terms("regbtc") == {}
    assert noted[:2] == [
        f"unfreeze: {of(ADA).address}\nreason: they were theirs", f"freeze: {of(ADA).address}\nreason: stolen rigs",
    ]  # fmt: skip


def test_settings_message_that_cannot_be_done_leaves_nothing_behind(
    miners: Miners, monkeypatch: pytest.MonkeyPatch
) -> None:
    miners.earn("alpha", miners.account("alpha", "held", ADA), 60)
    lines = ("minimum-payout: alpha 1", f"release-held: alpha {of(CLEO).address}")

    def refuse(*_: object) -> bool:
        raise LedgerError("this chain's books are closed")

    with monkeypatch.context() as patched:
        patched.setattr(ledger_store, "post", refuse)
        with pytest.raises(LedgerError):
            miners.say(ADA, 1, *lines)
    assert miners.seen(ADA)["chains"] == {}
    assert miners.say(ADA, 1, *lines).released == (Released("alpha", 60, of(CLEO).address),)


def test_settings_seen_by_the_miner(miners: Miners) -> None:
    nothing = {"address": of(ADA).address, "next_number": 1, "frozen": None, "offline_notice": None, "chains": {}}
    assert miners.seen(ADA) == nothing
    to = of(ADA_ALPHA).address
    minimums = "minimum-payout: regbtc 1", "minimum-payout: alpha 2"
    miners.say(ADA, 7, *minimums, f"register: alpha {to}", "register: beta none")
    assert miners.seen(ADA) == nothing | {
        "next_number": 8,
        "chains": {
            "alpha": {"minimum_payout": 200_000_000, "registered": to},
            "regbtc": {"minimum_payout": 100_000_000, "registered": None},
        },
    }
    assert miners.seen(BOB)["chains"] == {}
