"""Strangers' coins in the ledger: a reorganisation may take one out of its chain, and bring it back, any number of
times.

Everything takes an open connection and leaves the commit to its caller.
"""

from __future__ import annotations

from sqlalchemy import Connection

from chains.wallet import Outpoint
from pool.ledger import payment
from pool.ledger.transfer import TransferGroup
from pool.storage import ledger_store


def book(connection: Connection, chain: str, outpoint: Outpoint, amount: int, now_ms: int) -> None:
    """The coin is in the wallet. Doing it twice is doing it once."""
    ledger_store.post(connection, _deposit(connection, chain, outpoint, amount), now_ms)


def unbook(connection: Connection, chain: str, outpoint: Outpoint, amount: int, now_ms: int) -> None:
    """The coin, which was booked, is in the chain no more."""
    ledger_store.post(connection, payment.undeposit(_deposit(connection, chain, outpoint, amount)), now_ms)


def _deposit(connection: Connection, chain: str, outpoint: Outpoint, amount: int) -> TransferGroup:
    """The group of the coin that is not undone."""
    times = 0
    while True:
        group = payment.deposit(chain, outpoint.txid[::-1].hex(), outpoint.vout, amount, times)
        if ledger_store.find_group(connection, payment.undeposit(group).id) is None:
            return group
        times += 1
