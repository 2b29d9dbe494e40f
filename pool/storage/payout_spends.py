"""What the books say of each transfer of an account of ours: the coins that it took, and the one made of the rest.

A batch's coins are fixed before it is signed and never change after, so what was read once is kept. Synchronous; called
in the thread of the books.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from chains.accounts.coins import Spend
from chains.wallet import Outpoint
from pool.storage.database import Database
from pool.storage.payout_tables import batch_inputs, payout_batches

_CHUNK = 400  # names per query, well below SQLite's limit of variables


class AccountSpends:
    """One chain's."""

    def __init__(self, database: Database, chain: str) -> None:
        self._database = database
        self._chain = chain
        self._known: dict[bytes, Spend] = {}

    def __call__(self) -> Mapping[bytes, Spend]:
        """Every transfer that was ever signed, by id."""
        column = payout_batches.c
        signed = select(column.id, column.txid, column.change_vout, column.change_amount).where(
            column.chain == self._chain, column.txid.is_not(None)
        )
        with self._database.read() as connection:
            rows = list(connection.execute(signed))
            taken = _taken(connection, [row.id for row in rows if row.txid not in self._known])
        found = {}
        for row in rows:
            known = self._known.get(row.txid)
            if known is None:
                change = (Outpoint(row.txid, row.change_vout), row.change_amount) if row.change_vout else None
                known = Spend(tuple(taken.get(row.id, ())), change)
            found[row.txid] = known
        self._known = found  # without those of a database that a backup took the place of
        return found


def _taken(connection: Connection, batch_ids: list[str]) -> dict[str, list[tuple[Outpoint, int]]]:
    column = batch_inputs.c
    found: dict[str, list[tuple[Outpoint, int]]] = {}
    for start in range(0, len(batch_ids), _CHUNK):
        query = select(column.batch_id, column.txid, column.vout, column.amount).order_by(column.place)
        for row in connection.execute(query.where(column.batch_id.in_(batch_ids[start : start + _CHUNK]))):
            found.setdefault(row.batch_id, []).append((Outpoint(row.txid, row.vout), row.amount))
    return found
