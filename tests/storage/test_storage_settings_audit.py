"""The audit of settings: good books have no finding, and whoever changes them by hand is found."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text
from storage_samples import logged
from support.message_signing import SigningKey

from chains.families import network
from pool.audit.settings_audit import audit_settings
from pool.miners.settings_message import Destination, SettingsRules, read_signed, template
from pool.shares.record import Position
from pool.shares.route import route_login
from pool.storage import settings_store
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from stratum.words import parse_login

NET = network("devnet", "regtest")
RULES = SettingsRules("main", "regbtc", {"regbtc": NET, "alpha": NET})
TODAY = date(2026, 11, 21)
ADA, BOB, EVE = SigningKey(81), SigningKey(82), SigningKey(83)
ADDRESSES = {key: key.address("p2wpkh", NET) for key in (ADA, BOB, EVE)}


def say(database: Database, key: SigningKey, number: int, *lines: str) -> None:
    miner = Destination(ADDRESSES[key], key.script("p2wpkh"))
    message = template(RULES, miner, number, TODAY) + "\n".join(lines)
    signature = key.sign("p2wpkh", message, NET)
    read = read_signed(message, signature, RULES, TODAY)
    with database.write() as connection:
        settings_store.apply_message(connection, read, message, signature, RULES, number)


@pytest.fixture
def settled(database: Database) -> Database:
    """Ada and Bob changed their settings more than once; Bob was frozen for a while, Ada still is."""
    batch = [
        logged(number, route_login(parse_login(ADDRESSES[key]), {}, RULES.networks, RULES.parent).route)
        for number, key in enumerate((ADA, BOB), 1)
    ]
    SqlBooks(database).store_shares(batch, Position(1, 9), 1)
    say(database, ADA, 1, "minimum-payout: regbtc 1", f"register: alpha {ADDRESSES[BOB]}")
    say(database, BOB, 5, "minimum-payout: alpha 2", f"register: regbtc {ADDRESSES[ADA]}")
    say(database, ADA, 2, "minimum-payout: regbtc default", "minimum-payout: alpha 3")
    say(database, BOB, 6, "register: regbtc none")
    ada, bob = (Destination(ADDRESSES[key], key.script("p2wpkh")) for key in (ADA, BOB))
    with database.write() as connection:
        settings_store.freeze(connection, bob, "why", 1)
        settings_store.freeze(connection, ada, "why", 2)
        settings_store.unfreeze(connection, bob, "why not", 3)
    return database


def findings(database: Database, rules: SettingsRules = RULES) -> list[str]:
    with database.read() as connection:
        return [str(finding) for finding in audit_settings(connection, rules).findings]


def test_settings_audit_of_right_settings_finds_nothing(settled: Database) -> None:
    with settled.read() as connection:
        report = audit_settings(connection, RULES)
    assert (report.findings, report.notes, report.messages) == ([], [], 7)


EVES = EVE.script("p2wpkh").hex()
TAMPERED = {
    "a redirected payout": (
        f"UPDATE account_settings SET payout_script_hex = '{EVES}', payout_address = '{ADDRESSES[EVE]}'"
        f" WHERE chain = 'regbtc' AND script_hex = '{BOB.script('p2wpkh').hex()}'",
        f"settings regbtc miner {BOB.script('p2wpkh').hex()}: is set to minimum None, address {ADDRESSES[EVE]}",
    ),
    "a redirected account that never said anything": (
        "INSERT INTO account_settings (chain, kind, script_hex, payout_script_hex, payout_address, message_id)"
        f" VALUES ('alpha', 'miner', 'aabb', '{EVES}', '{ADDRESSES[EVE]}', 1)",
        f"settings alpha miner aabb: is set to minimum None, address {ADDRESSES[EVE]}",
    ),
    "another minimum": (
        "UPDATE account_settings SET minimum_payout = 7 WHERE chain = 'alpha' AND kind = 'held'",
        "settings alpha held ",
    ),
    "a forgotten setting": ("DELETE FROM account_settings WHERE chain = 'alpha'", "settings alpha "),
    "a freeze out of nowhere": (
        f"INSERT INTO frozen_scripts VALUES ('{EVES}', 'x', 'why', 0, 1)",
        f"settings script {EVES}: is frozen, but nobody noted it",
    ),
    "a freeze that is gone": (
        "DELETE FROM frozen_scripts",
        f"settings script {ADA.script('p2wpkh').hex()}: was frozen, and nobody noted its end",
    ),
}


@pytest.mark.parametrize(("statement", "told"), TAMPERED.values(), ids=TAMPERED.keys())
def test_settings_audit_finds_what_was_changed_by_hand(settled: Database, statement: str, told: str) -> None:
    with settled.write() as connection:
        connection.execute(text(statement))
    found = findings(settled)
    assert found
    assert all(line.startswith(told) for line in found)


def insert_message(database: Database, script_hex: str, number: int, message: str, signature: str) -> None:
    statement = text(
        "INSERT INTO settings_messages (source, script_hex, address, number, message, signature, received_ms)"
        " VALUES ('miner', :script, 'x', :number, :message, :signature, 9)"
    )
    row = {"script": script_hex, "number": number, "message": message, "signature": signature}
    with database.write() as connection:
        connection.execute(statement, row)


HEAD = template(RULES, Destination(ADDRESSES[ADA], ADA.script("p2wpkh")), 3, TODAY)
ADAS = ADA.script("p2wpkh").hex()


@pytest.mark.parametrize("message", [f"{HEAD}minimum-payout: alpha 3", "what nobody can read"])
def test_settings_audit_finds_a_message_that_its_miner_never_signed(settled: Database, message: str) -> None:
    insert_message(settled, ADAS, 3, message, EVE.sign("p2wpkh", message, NET))
    assert findings(settled) == ["settings x: message 3: the signature is not of this message by this address's key"]


def test_settings_audit_finds_a_message_under_another_name(settled: Database) -> None:
    message = f"{HEAD}minimum-payout: alpha 3"
    insert_message(settled, EVES, 9, message, EVE.sign("p2wpkh", message, NET))
    assert findings(settled) == [f"settings x: message 9 is of {ADDRESSES[ADA]}, number 3"]


def test_settings_audit_finds_messages_out_of_order(settled: Database) -> None:
    message = template(RULES, Destination(ADDRESSES[BOB], BOB.script("p2wpkh")), 4, TODAY) + "minimum-payout: alpha 2"
    insert_message(settled, BOB.script("p2wpkh").hex(), 4, message, BOB.sign("p2wpkh", message, NET))
    assert findings(settled) == ["settings x: message 4 is not after the one before it"]


def test_settings_audit_after_a_chain_was_taken_out_checks_the_rest(settled: Database) -> None:
    rules = SettingsRules("renamed", "regbtc", {"regbtc": NET})
    with settled.read() as connection:
        report = audit_settings(connection, rules)
    assert report.findings == []
    assert len(report.notes) == 3
    assert all("there is no chain 'alpha'" in note for note in report.notes)
