"""The tables of the closings (pool/accounting/closing.py), on the metadata of pool/storage/tables.py."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, Table, Text

from pool.storage.tables import metadata

closings = Table(
    "closings",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("closed_ms", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="Stretches of the books, sealed: canonical bytes, compressed with zlib, and their hash. Append-only.",
)

closed_ends = Table(
    "closed_ends",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("kind IN ('log', 'chain')", name="kind"),
    comment="How far the closings have come: the last sequence of each share log, the last link of each chain.",
)
