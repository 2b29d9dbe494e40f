"""Balances from another pool in the books: all of a file or nothing, once, and only what the operator funded."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from support.message_signing import SigningKey

from chains.families import network
from pool.ledger.account import ASSET_WALLET, OPERATOR_AVAILABLE, available
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup
from pool.miners.balance_file import BalanceFile, BalanceFileError, read_balances
from pool.miners.settings_message import SettingsRules
from pool.storage import ledger_store, opening_store
from pool.storage.account_store import find_account
from pool.storage.database import Database
from pool.storage.opening_store import Imported, NotFundedError, import_balances

NET = network("devnet", "regtest")
RULES = SettingsRules("main", "regbtc", {"regbtc": NET, "alpha": NET})
KEYS = {name: SigningKey(number) for number, name in enumerate(("ada", "bob", "cleo"), 51)}


def file_of(*rows: tuple[str, str, int]) -> BalanceFile:
    lines = [f"{chain},{KEYS[name].address('p2wpkh', NET)},{amount}" for chain, name, amount in rows]
    return read_balances("\n".join(["chain,address,amount", *lines]).encode(), RULES)


def fund(database: Database, chain: str, amount: int) -> None:
    transfers = (Transfer(ASSET_WALLET, OPERATOR_AVAILABLE, amount),)
    with database.write() as connection:
        number = connection.execute(text("SELECT COUNT(*) FROM transfer_groups")).scalar_one()
        ledger_store.post(connection, TransferGroup(f"fund:{chain}:{number}", chain, "fund", transfers), 0)


def take(database: Database, file: BalanceFile, *, add: bool = False) -> Imported:
    with database.write() as connection:
        return import_balances(connection, file, 5, add=add)


def owed(database: Database) -> dict[tuple[str, str], int]:
    """What is owed by (chain, name), and the operator's money under the name own."""
    found = {}
    with database.read() as connection:
        assert ledger_store.audit(connection) == []
        for chain in ("regbtc", "alpha"):
            stored = ledger_store.chain_balances(connection, chain)
            found[chain, "own"] = stored.get(OPERATOR_AVAILABLE, 0)
            for name, key in KEYS.items():
                account = find_account(connection, chain, "miner", key.script("p2wpkh").hex())
                found[chain, name] = 0 if account is None else stored.get(available(account), 0)
    return {key: amount for key, amount in found.items() if amount}


FILE = file_of(("regbtc", "ada", 60), ("regbtc", "bob", 30), ("alpha", "ada", 5))


def test_opening_balances_are_owed_and_paid_by_the_operator(database: Database) -> None:
    fund(database, "regbtc", 100)
    fund(database, "alpha", 5)
    assert take(database, FILE) == Imported(FILE.reference, again=False)
    taken = {("regbtc", "ada"): 60, ("regbtc", "bob"): 30, ("regbtc", "own"): 10, ("alpha", "ada"): 5}
    assert owed(database) == taken
    assert take(database, FILE) == Imported(FILE.reference, again=True)
    assert take(database, file_of(("alpha", "ada", 5), ("regbtc", "bob", 30), ("regbtc", "ada", 60))).again
    assert owed(database) == taken
    query = text("SELECT id FROM transfer_groups WHERE kind = 'opening'")
    with database.read() as connection:
        ids = connection.execute(query).scalars().all()
    assert sorted(ids) == [f"opening:alpha:{FILE.reference}", f"opening:regbtc:{FILE.reference}"]


@pytest.mark.parametrize(("regbtc", "alpha"), [(89, 5), (90, 4), (0, 0)])
def test_opening_of_a_file_that_is_not_funded_takes_nothing(database: Database, regbtc: int, alpha: int) -> None:
    for chain, amount in (("regbtc", regbtc), ("alpha", alpha)):
        if amount:
            fund(database, chain, amount)
    before = owed(database)
    with pytest.raises(NotFundedError) as refused:
        take(database, FILE)
    assert ("regbtc: the file brings 90" in str(refused.value)) == (regbtc < 90)
    assert ("alpha: the file brings 5" in str(refused.value)) == (alpha < 5)
    assert owed(database) == before


def test_opening_says_how_much_is_missing(database: Database) -> None:
    fund(database, "alpha", 9)
    fund(database, "regbtc", 80)
    with pytest.raises(NotFundedError, match="the operator has 80 available; fund 10 first"):
        take(database, FILE)


def test_opening_that_breaks_off_takes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fund(database, "regbtc", 100)
    fund(database, "alpha", 5)
    before = owed(database)
    post, calls = ledger_store.post, 0

    def second_fails(*words: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LedgerError("the disk is full")
        return post(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(opening_store.ledger_store, "post", second_fails)
        with pytest.raises(LedgerError):
            take(database, FILE)
    assert owed(database) == before
    assert not take(database, FILE).again


def test_opening_of_an_account_in_a_second_file_is_asked_about(database: Database) -> None:
    """A corrected file that is imported over the first one would pay everybody in it twice."""
    fund(database, "regbtc", 1000)
    fund(database, "alpha", 1000)
    take(database, FILE)
    before = owed(database)
    corrected = file_of(("regbtc", "cleo", 1), ("regbtc", "ada", 61), ("regbtc", "bob", 30))
    with pytest.raises(BalanceFileError) as refused:
        take(database, corrected)
    assert [mistake.line for mistake in refused.value.mistakes] == [3, 4]
    assert "another file; --add" in refused.value.mistakes[0].sentence
    assert owed(database) == before
    assert not take(database, file_of(("regbtc", "cleo", 1))).again
    assert not take(database, corrected, add=True).again
    assert owed(database)["regbtc", "ada"] == 121
