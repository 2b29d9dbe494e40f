"""Who may be paid, as the books tell it: an account that is no script never stands in the way of the others."""

from __future__ import annotations

from sqlalchemy import insert

from pool.storage.database import Database
from pool.storage.payout_store import claims
from pool.storage.tables import accounts, balances

SCRIPT_HEX = "0014" + "ab" * 20


def test_storage_claims_hold_accounts_that_are_named_by_an_address_alone(database: Database) -> None:
    rows = [
        {"chain": "alpha", "kind": "held", "script_hex": "address:bc1qexample", "address": "bc1qexample"},
        {"chain": "alpha", "kind": "miner", "script_hex": SCRIPT_HEX, "address": "bcrt1qpaid"},
        {"chain": "beta", "kind": "miner", "script_hex": SCRIPT_HEX, "address": "bcrt1qother"},
    ]
    with database.write() as connection:
        connection.execute(insert(accounts), rows)
        owed = [
            {"chain": chain, "account": f"liab.{account_id}.available", "amount": 1000 + account_id}
            for account_id, chain in ((1, "alpha"), (2, "alpha"), (3, "beta"))
        ]
        connection.execute(insert(balances), owed)
    with database.read() as connection:
        held, paid = claims(connection, "alpha")
    assert (held.kind, held.script, held.available) == ("held", None, 1001)
    assert (paid.kind, paid.script, paid.available) == ("miner", bytes.fromhex(SCRIPT_HEX), 1002)
