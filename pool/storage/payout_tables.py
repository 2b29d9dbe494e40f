"""The tables of payouts, on the metadata of pool/storage/tables.py.

What the machine of pool/payouts/batch.py promises is kept by the database as well: one batch at a time per chain on its
way to its signature, one active batch per coin, one output per payout, no step that its table does not have, and bytes
that never change once they are signed, but for those of another version that is kept (the triggers are in the
migrations). Amounts are smallest units, txids 32 bytes in natural order, scripts hex.
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
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from pool.storage.tables import RowId, metadata

STATES = (
    "planned", "built", "signed", "broadcast", "confirming", "settled", "conflicted", "hold", "void",
)  # fmt: skip
HELD_FROM = "('planned', 'built', 'signed', 'broadcast', 'confirming', 'conflicted')"
BEFORE_SENDING = "('planned', 'built', 'signed')"

payout_batches = Table(
    "payout_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("held_from", Text),
    Column("reason", Text, nullable=False),
    Column("fee_policy", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("fee_rate", BigInteger),
    Column("fee", BigInteger),
    Column("pool_fee", BigInteger),
    Column("vsize", BigInteger),
    Column("unsigned_bytes", LargeBinary),
    Column("change_vout", Integer),
    Column("change_amount", BigInteger),
    Column("change_script_hex", Text),
    Column("raw", LargeBinary),
    Column("txid", LargeBinary(32), unique=True),
    Column("wtxid", LargeBinary(32)),
    Column("sends", BigInteger, nullable=False, server_default="0"),
    Column("sent_ms", BigInteger),
    Column("confirmations", BigInteger, nullable=False, server_default="0"),
    Column("block_hash_hex", Text),
    Column("height", BigInteger),
    Column("conflict_txid", LargeBinary(32)),
    Column("settled_ms", BigInteger),
    Column("watched", SmallInteger, nullable=False, server_default="1"),
    Column("replaces", ForeignKey("payout_batches.id")),  # of an older design, and empty: see payout_versions
    Column("bump_rate", BigInteger),
    CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in STATES) + ")", name="state"),
    CheckConstraint("kind IN ('payout', 'withdraw', 'sweep', 'consolidate')", name="kind"),
    CheckConstraint("fee_policy IN ('pool', 'miner')", name="fee_policy"),
    CheckConstraint("(state = 'hold') = (held_from IS NOT NULL)", name="held"),
    CheckConstraint(f"held_from IS NULL OR held_from IN {HELD_FROM}", name="held_from"),
    CheckConstraint("(raw IS NULL) = (txid IS NULL) AND (raw IS NULL) = (wtxid IS NULL)", name="signed_whole"),
    CheckConstraint("state IN ('planned', 'built', 'hold', 'void') OR raw IS NOT NULL", name="signed"),
    CheckConstraint("state NOT IN ('planned', 'built') OR raw IS NULL", name="unsigned"),
    # Nothing that was signed is void without the transaction that makes it impossible.
    CheckConstraint("state <> 'void' OR raw IS NULL OR conflict_txid IS NOT NULL", name="dead"),
    CheckConstraint("(unsigned_bytes IS NULL) = (fee IS NULL)", name="built_whole"),
    CheckConstraint("state <> 'built' OR unsigned_bytes IS NOT NULL", name="built"),
    CheckConstraint("pool_fee >= 0 AND pool_fee <= fee", name="fee"),
    CheckConstraint("watched IN (0, 1)", name="watched"),
    Index(None, "chain", "watched"),
    comment="One transaction each, from plan to confirmation.",
)

Index(
    "uq_payout_batches_one_at_a_time",
    payout_batches.c.chain,
    unique=True,
    sqlite_where=text(f"state IN {BEFORE_SENDING} OR held_from IN {BEFORE_SENDING}"),
    postgresql_where=text(f"state IN {BEFORE_SENDING} OR held_from IN {BEFORE_SENDING}"),
)

payout_versions = Table(
    "payout_versions",
    metadata,
    Column("batch_id", ForeignKey("payout_batches.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("chain", Text, nullable=False),
    Column("signed_ms", BigInteger, nullable=False),
    Column("fee_rate", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("pool_fee", BigInteger, nullable=False),
    Column("vsize", BigInteger, nullable=False),
    Column("unsigned_bytes", LargeBinary, nullable=False),
    Column("change_vout", Integer),
    Column("change_amount", BigInteger),
    Column("change_script_hex", Text),
    Column("input_count", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("txid", LargeBinary(32), nullable=False, unique=True),
    Column("wtxid", LargeBinary(32), nullable=False),
    CheckConstraint("number >= 0 AND input_count > 0", name="numbers"),
    CheckConstraint("pool_fee >= 0 AND pool_fee <= fee", name="fee"),
    comment="Every transaction of a batch that has more than one. Append-only.",
)

payouts = Table(
    "payouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("batch_id", ForeignKey("payout_batches.id"), nullable=False, index=True),
    Column("place", Integer, nullable=False),
    Column("chain", Text, nullable=False),
    Column("account_id", ForeignKey("accounts.id"), index=True),
    Column("address", Text, nullable=False),
    Column("script_hex", Text, nullable=False),
    Column("gross", BigInteger, nullable=False),
    Column("minimum", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("txid", LargeBinary(32)),
    Column("vout", Integer),
    Column("net", BigInteger),
    Column("fee_part", BigInteger),
    CheckConstraint("state IN ('open', 'settled', 'void')", name="state"),
    CheckConstraint("gross > 0", name="gross"),
    CheckConstraint("net > 0 AND fee_part >= 0 AND net + fee_part = gross", name="parts"),
    CheckConstraint(
        "state <> 'settled' OR (txid IS NOT NULL AND vout IS NOT NULL AND net IS NOT NULL AND fee_part IS NOT NULL)",
        name="settled",
    ),
    UniqueConstraint("chain", "txid", "vout"),
    comment="What each account is paid; txid, vout, net and fee_part are of the output that paid it for good.",
)

payout_outputs = Table(
    "payout_outputs",
    metadata,
    Column("batch_id", ForeignKey("payout_batches.id"), primary_key=True),
    Column("payout_id", ForeignKey("payouts.id"), primary_key=True),
    Column("vout", Integer, nullable=False),
    Column("net", BigInteger, nullable=False),
    Column("fee_part", BigInteger, nullable=False),
    CheckConstraint("net > 0 AND fee_part >= 0", name="amounts"),
    UniqueConstraint("batch_id", "vout"),
    comment="Which output of a batch's transaction pays a payout.",
)

batch_inputs = Table(
    "batch_inputs",
    metadata,
    Column("batch_id", ForeignKey("payout_batches.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("chain", Text, nullable=False),
    Column("txid", LargeBinary(32), nullable=False),
    Column("vout", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("script_hex", Text, nullable=False),
    Column("active", SmallInteger, nullable=False),
    CheckConstraint("active IN (0, 1)", name="active"),
    CheckConstraint("amount > 0", name="amount"),
    comment="The coins that a batch spends. Active ones are reserved: no second batch can have them.",
)

Index(
    "uq_batch_inputs_active",
    batch_inputs.c.chain,
    batch_inputs.c.txid,
    batch_inputs.c.vout,
    unique=True,
    sqlite_where=text("active = 1"),
    postgresql_where=text("active = 1"),
)

wallet_coins = Table(
    "wallet_coins",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("txid", LargeBinary(32), primary_key=True),
    Column("vout", Integer, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("spent_batch_id", ForeignKey("payout_batches.id"), index=True),
    Column("booked_ms", BigInteger, nullable=False),
    CheckConstraint("source IN ('income', 'change', 'deposit', 'fund', 'cold')", name="source"),
    CheckConstraint("amount > 0", name="amount"),
    Index(None, "chain", "cause"),
    comment="Every coin that the ledger's wallet is made of; spent_batch_id once a settled batch took it.",
)

payout_attempts = Table(
    "payout_attempts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("batch_id", ForeignKey("payout_batches.id"), nullable=False, index=True),
    Column("made_ms", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Every signing and sending of a batch and what was answered. Append-only.",
)

payer_epochs = Table(
    "payer_epochs",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    comment="Who pays on a chain now; each new payer raises the epoch, and what an older one writes is refused.",
)

chain_holds = Table(
    "chain_holds",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("placed_ms", BigInteger, nullable=False),
    Column("released_ms", BigInteger),
    Column("released_reason", Text),
    CheckConstraint("(released_ms IS NULL) = (released_reason IS NULL)", name="released"),
    comment="Why nothing new is paid on a chain; over once released.",
)

Index(
    "uq_chain_holds_in_force",
    chain_holds.c.chain,
    chain_holds.c.cause,
    unique=True,
    sqlite_where=text("released_ms IS NULL"),
    postgresql_where=text("released_ms IS NULL"),
)

payout_quarantine = Table(
    "payout_quarantine",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("address", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    comment="Addresses that cannot be paid to; only their own account waits.",
)
