"""The tables of the books. migrations/ builds the same ones; a test compares the two.

Amounts are BIGINT in the chain's smallest unit, times are wall-clock milliseconds, weights are expected hashes.
Hashes that are read by people (blocks) are displayed hex; hashes that only dedupe are 32 bytes in natural order.
Credits, transfers, their groups and links are append-only: triggers refuse UPDATE and DELETE (invariant I11).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

# SQLite gives numbers of its own only to INTEGER primary keys.
RowId = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

share_logs = Table(
    "share_logs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("segment", BigInteger, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    # '' in a row of a version that knew no pools of several front ends: the log is the pool's only one.
    Column("pool", Text, nullable=False, server_default=""),
    Column("drained_sequence", BigInteger, nullable=False, server_default="0"),
    Column("drained_ms", BigInteger, nullable=False, server_default="0"),
    Column("written_off_ms", BigInteger),
    comment="One row per share log (a process has one): how far it is consumed, written with the shares it covers.",
)

pool_leads = Table(
    "pool_leads",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    comment="Which of a pool's processes follows its blocks (and reads its stream) at present.",
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("script_hex", Text, nullable=False),
    Column("address", Text, nullable=False),
    CheckConstraint("kind IN ('miner', 'held')", name="kind"),
    UniqueConstraint("chain", "kind", "script_hex"),
    Index(None, "address"),
    comment="Who can be owed coins on a chain: a payout script, or `held` for a parent address.",
)

routes = Table(
    "routes",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
    Column("login_parent", Text, nullable=False),
    Index(None, "login_parent"),
)

route_accounts = Table(
    "route_accounts",
    metadata,
    Column("route_id", ForeignKey("routes.id"), primary_key=True),
    Column("chain", Text, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
)

chain_sets = Table(
    "chain_sets",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("names", Text, nullable=False, unique=True),
    comment="Sets of chains that shares count for, names sorted and joined by commas.",
)

shares = Table(
    "shares",
    metadata,
    # Without references to other tables, and without an index over the header hashes: docs/adr/0022.
    Column("log_id", RowId, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("route_id", RowId, nullable=False),
    Column("worker", Text, nullable=False),
    Column("weight", BigInteger, nullable=False),
    Column("chain_set_id", RowId, nullable=False),
    Column("header_hash", LargeBinary(32), nullable=False),
    Column("stale", SmallInteger, nullable=False),
    CheckConstraint("weight >= 0", name="weight"),
    CheckConstraint("stale IN (0, 1)", name="stale"),
    Index(None, "time_ms"),
    Index(None, "route_id", "time_ms"),
    # Rows lie in window order, so that a window is one read backwards.
    sqlite_with_rowid=False,
)

share_solves = Table(
    "share_solves",
    metadata,
    Column("log_id", ForeignKey("share_logs.id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("chain", Text, primary_key=True),
    Column("block_hash_hex", Text, nullable=False),
    Index(None, "chain", "block_hash_hex"),
    comment="Which blocks a share solved. Outlives the share.",
)

share_sums = Table(
    "share_sums",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("log_id", ForeignKey("share_logs.id"), primary_key=True),
    Column("route_id", ForeignKey("routes.id"), primary_key=True),
    Column("chain_set_id", ForeignKey("chain_sets.id"), primary_key=True),
    Column("shares", BigInteger, nullable=False),
    Column("weight", Text, nullable=False),
    sqlite_with_rowid=False,
    comment="Shares that are no longer kept one by one, by hour. weight is a decimal of any size.",
)

share_spans = Table(
    "share_spans",
    metadata,
    Column("log_id", ForeignKey("share_logs.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("chain_set_id", ForeignKey("chain_sets.id"), primary_key=True),
    Column("shares", BigInteger, nullable=False),
    Column("weight", Text, nullable=False),
    Column("oldest_ms", BigInteger),
    Column("route_weights", Text, nullable=False),
    comment="Sums of stored shares by 65,536 sequences, made from them and deleted with any change of them.",
)

blocks = Table(
    "blocks",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("hash_hex", Text, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reward", BigInteger),
    Column("fee", BigInteger),
    Column("log_id", ForeignKey("share_logs.id"), nullable=False),
    Column("share_sequence", BigInteger, nullable=False),
    Column("target_hex", Text, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
    Column("confirmations", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("orphaned_times", Integer, nullable=False),
    Column("lost_times", Integer, nullable=False, server_default="0"),
    Column("watched", SmallInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    # What its solve counted under on this chain; NULL in blocks of before there were schemes.
    Column("scheme", Text),
    # Of a vote that a block has, or had: see pool/storage/block_store.py. NULL and 0 in all others.
    Column("vote_hash_hex", Text),
    Column("container_hash_hex", Text),
    Column("event_index", Integer, nullable=False, server_default="0"),
    Column("superseded", SmallInteger, nullable=False, server_default="0"),
    CheckConstraint("state IN ('submitted', 'immature', 'mature', 'orphan', 'rejected', 'lost')", name="state"),
    CheckConstraint("reward >= 0", name="reward"),
    CheckConstraint("fee >= 0 AND fee <= reward", name="fee"),
    CheckConstraint("state NOT IN ('immature', 'mature') OR (reward IS NOT NULL AND fee IS NOT NULL)", name="credited"),
    CheckConstraint("watched IN (0, 1)", name="watched"),
    CheckConstraint("scheme IN ('pplns', 'solo', 'pps', 'fpps')", name="scheme"),
    UniqueConstraint("chain", "hash_hex"),
    Index(None, "chain", "watched"),
)

PAID = text("state IN ('immature', 'mature')")
"""In these words: a database uses an index over part of a table only where a question has its condition."""

# Invariant I5: two of our blocks at one height cannot both be paid for, nor can two votes at one index of a block, or
# one vote twice; and what a block pays at an index is the income of one row for ever.
Index(
    "uq_blocks_paid_height", blocks.c.chain, blocks.c.height, blocks.c.event_index, unique=True, sqlite_where=PAID,
    postgresql_where=PAID,
)  # fmt: skip
Index(
    "uq_blocks_paid_vote", blocks.c.chain, blocks.c.vote_hash_hex, unique=True, sqlite_where=PAID,
    postgresql_where=PAID,
)  # fmt: skip
Index("uq_blocks_inclusion", blocks.c.chain, blocks.c.container_hash_hex, blocks.c.event_index, unique=True)
Index(None, blocks.c.chain, blocks.c.vote_hash_hex)
Index(None, blocks.c.chain, blocks.c.id)
Index(None, blocks.c.chain, blocks.c.state, blocks.c.superseded)

vote_scans = Table(
    "vote_scans",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("chain", Text, primary_key=True),
    Column("height", BigInteger, nullable=False),
    Column("hash_hex", Text, nullable=False),
    comment="Up to which block a pool has compared a chain's votes with its books.",
)

credits = Table(
    "credits",
    metadata,
    Column("block_id", ForeignKey("blocks.id"), primary_key=True),
    Column("event_index", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("weight", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount >= 0", name="amount"),
    Index(None, "account_id", "block_id"),
    comment="What each account earns from a block; void while it is an orphan. weight is a decimal of any size.",
)

transfer_groups = Table(
    "transfer_groups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

ledger_links = Table(
    "ledger_links",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("group_id", ForeignKey("transfer_groups.id"), nullable=False, unique=True),
    Column("hash", LargeBinary(32), nullable=False),
    comment="The hash chain through a chain's transfer groups, in the order they were written (invariant I11).",
)

transfers = Table(
    "transfers",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("group_id", ForeignKey("transfer_groups.id"), nullable=False, index=True),
    Column("chain", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("debit <> credit", name="accounts"),
    Index(None, "chain", "debit"),
    Index(None, "chain", "credit"),
)

balances = Table(
    "balances",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    # Invariant I3; other accounts may swing either way. The wallet: pool/ledger/solvency.py.
    CheckConstraint(
        "amount >= 0 OR account = 'asset.wallet' OR (account NOT LIKE 'liab.%' AND account NOT LIKE 'asset.%'"
        " AND account NOT LIKE 'suspense.%'"
        " AND account NOT IN ('equity.operator.immature', 'equity.operator.available'))",
        name="not_negative",
    ),
    comment="Sums of the transfers, written with them; can be rebuilt from them at any time (invariant I12).",
)
