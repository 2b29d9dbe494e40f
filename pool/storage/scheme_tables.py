"""The tables of income events and of PPS, on the metadata of pool/storage/tables.py.

An income event is what one proof of one block pays; most chains have one per block, with index 0. Its row holds the
terms it was credited by and is never changed: an audit needs neither the configuration of that day nor the shares.

PPS sums weights per account and rate; what is over is folded into one number per account (pool/accounting/pps.py).
Numbers that may pass 63 bits (works, weights, folded worth) are decimal text.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from pool.storage.tables import RowId, metadata

income_events = Table(
    "income_events",
    metadata,
    Column("block_id", ForeignKey("blocks.id"), primary_key=True),
    Column("event_index", Integer, primary_key=True, autoincrement=False),
    Column("reward", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("operator_amount", BigInteger, nullable=False),
    Column("unexplained", BigInteger, nullable=False),
    Column("scheme", Text, nullable=False),
    Column("fee_ppm", BigInteger),
    Column("factor", Text),
    Column("window_min_ms", BigInteger),
    Column("total_weight", Text, nullable=False),
    Column("share_count", BigInteger),
    Column("oldest_log_id", RowId),
    Column("oldest_sequence", BigInteger),
    Column("oldest_ms", BigInteger),
    Column("newest_log_id", RowId),
    Column("newest_sequence", BigInteger),
    Column("newest_ms", BigInteger),
    CheckConstraint("event_index >= 0", name="event_index"),
    CheckConstraint("scheme IN ('pplns', 'solo', 'pps', 'fpps')", name="scheme"),
    CheckConstraint(
        "fee >= 0 AND operator_amount >= 0 AND unexplained >= 0 AND fee + operator_amount + unexplained <= reward",
        name="parts",
    ),
    ForeignKeyConstraint(["oldest_log_id"], ["share_logs.id"]),
    ForeignKeyConstraint(["newest_log_id"], ["share_logs.id"]),
    comment="What one proof of a block paid, and the terms it was credited by; what is not known of old ones is NULL.",
)

pps_rates = Table(
    "pps_rates",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Column("reward", BigInteger, nullable=False),
    Column("work", Text, nullable=False),
    Column("fee_ppm", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    CheckConstraint("scheme IN ('pps', 'fpps')", name="scheme"),
    CheckConstraint("reward >= 0", name="reward"),
    CheckConstraint("fee_ppm >= 0 AND fee_ppm <= 1000000", name="fee_ppm"),
    UniqueConstraint("chain", "scheme", "reward", "work", "fee_ppm"),
    comment="What shares were bought at: reward smallest units for work expected hashes, less the fee.",
)

pps_accruals = Table(
    "pps_accruals",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("rate_id", ForeignKey("pps_rates.id"), primary_key=True),
    Column("weight", Text, nullable=False),
    Index(None, "rate_id"),
    comment="The weight of all shares of an account at a rate, until the rate is over and folded.",
)

pps_accounts = Table(
    "pps_accounts",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("folded", Text, nullable=False),
    Column("credited", BigInteger, nullable=False),
    CheckConstraint("credited >= 0", name="credited"),
    comment="Per account: the worth of rates that are over, in 2**-256 units, and all that was ever credited.",
)

pps_chains = Table(
    "pps_chains",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("earned", Text, nullable=False),
    Column("credited", BigInteger, nullable=False),
    CheckConstraint("credited >= 0", name="credited"),
    comment="Per chain: the worth of all shares bought, in 2**-256 units, and all that was ever credited for them.",
)
