"""Payouts: batches from plan to confirmation, their coins and attempts, payers, holds.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.versions.m0001_first_books import make_append_only

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

BEFORE_SENDING = "state IN ('planned', 'built', 'signed') OR held_from IN ('planned', 'built', 'signed')"

STEPS = (
    "planned>built", "planned>void", "planned>hold", "built>planned", "built>signed", "built>void", "built>hold",
    "signed>broadcast", "signed>confirming", "signed>conflicted", "signed>replaced", "signed>hold",
    "broadcast>confirming", "broadcast>conflicted", "broadcast>replaced", "broadcast>hold",
    "confirming>broadcast", "confirming>settled", "confirming>conflicted", "confirming>hold", "settled>confirming",
    "conflicted>broadcast", "conflicted>confirming", "conflicted>replaced", "conflicted>void", "conflicted>hold",
    "replaced>confirming", "replaced>conflicted", "replaced>void", "replaced>hold",
    "hold>planned", "hold>built", "hold>signed", "hold>broadcast", "hold>confirming", "hold>conflicted",
    "hold>replaced", "hold>void",
)  # fmt: skip


def _steps() -> str:
    return ", ".join(f"'{step}'" for step in STEPS)


def _changes(column: str) -> str:
    """Once it has a value, it keeps it."""
    return f"OLD.{column} IS NOT NULL AND (NEW.{column} IS NULL OR NEW.{column} <> OLD.{column})"


# Name of the trigger, table, verb, when it refuses, and its words.
RULES: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "payout_batches_step", "payout_batches", "UPDATE",
        f"OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({_steps()})",
        "a batch does not take this step",
    ),
    (
        "payout_batches_release", "payout_batches", "UPDATE",
        "OLD.state = 'hold' AND NEW.state NOT IN ('hold', 'void') AND NEW.state <> OLD.held_from",
        "a batch on hold goes back where it was",
    ),
    (
        "payout_batches_same_bytes", "payout_batches", "UPDATE",
        f"({_changes('raw')}) OR ({_changes('txid')}) OR ({_changes('wtxid')})"
        " OR (OLD.raw IS NOT NULL AND (NEW.fee <> OLD.fee OR NEW.pool_fee <> OLD.pool_fee))",
        "what is signed never changes",
    ),
    (
        "payout_batches_same_batch", "payout_batches", "UPDATE",
        "NEW.id <> OLD.id OR NEW.chain <> OLD.chain OR NEW.kind <> OLD.kind OR NEW.fee_policy <> OLD.fee_policy",
        "a batch stays what it is",
    ),
    (
        "payout_batches_epoch", "payout_batches", "UPDATE",
        "NEW.epoch < OLD.epoch",
        "another payer has this chain",
    ),
    ("payout_batches_kept", "payout_batches", "DELETE", "1 = 1", "batches are kept"),
    (
        "payouts_reserved", "payouts", "INSERT",
        "NEW.account_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM transfer_groups g WHERE g.id = 'reserve:' || NEW.chain || ':' || NEW.id)",
        "I7: a payout is reserved first",
    ),
    (
        "payouts_same_payout", "payouts", "UPDATE",
        "NEW.id <> OLD.id OR NEW.chain <> OLD.chain OR NEW.gross <> OLD.gross OR NEW.script_hex <> OLD.script_hex"
        " OR COALESCE(NEW.account_id, 0) <> COALESCE(OLD.account_id, 0)"
        " OR OLD.state = 'void' OR (OLD.state = 'settled' AND NEW.state = 'open')",
        "a payout stays what it is",
    ),
    (
        "payouts_settled", "payouts", "UPDATE",
        "NEW.state = 'settled' AND (NOT EXISTS (SELECT 1 FROM payout_outputs o JOIN payout_batches b"
        " ON b.id = o.batch_id WHERE o.payout_id = NEW.id AND o.vout = NEW.vout AND o.net = NEW.net"
        " AND o.fee_part = NEW.fee_part AND b.txid = NEW.txid AND b.state = 'settled') OR (NEW.account_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM transfer_groups g WHERE g.id = 'settle:' || NEW.chain || ':' || NEW.id)))",
        "I8: a settled payout has one confirmed output and is booked",
    ),
    (
        "payouts_void", "payouts", "UPDATE",
        "NEW.state = 'void' AND NEW.account_id IS NOT NULL AND (NOT EXISTS"
        " (SELECT 1 FROM transfer_groups g WHERE g.id = 'void:' || NEW.chain || ':' || NEW.id)"
        " OR (OLD.state = 'settled' AND NOT EXISTS"
        " (SELECT 1 FROM transfer_groups g WHERE g.id = 'unsettle:' || NEW.chain || ':' || NEW.id)))",
        "I7: a void payout is available again",
    ),
    ("payouts_kept", "payouts", "DELETE", "1 = 1", "payouts are kept"),
    (
        "batch_inputs_same_coins", "batch_inputs", "DELETE",
        "EXISTS (SELECT 1 FROM payout_batches b WHERE b.id = OLD.batch_id AND b.raw IS NOT NULL)",
        "what is signed never changes",
    ),
    (
        "payout_outputs_same_outputs", "payout_outputs", "DELETE",
        "EXISTS (SELECT 1 FROM payout_batches b WHERE b.id = OLD.batch_id AND b.raw IS NOT NULL)",
        "what is signed never changes",
    ),
    ("payout_outputs_no_update", "payout_outputs", "UPDATE", "1 = 1", "outputs are made anew, not changed"),
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "payout_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("held_from", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fee_policy", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("fee_rate", sa.BigInteger(), nullable=True),
        sa.Column("fee", sa.BigInteger(), nullable=True),
        sa.Column("pool_fee", sa.BigInteger(), nullable=True),
        sa.Column("vsize", sa.BigInteger(), nullable=True),
        sa.Column("unsigned_bytes", sa.LargeBinary(), nullable=True),
        sa.Column("change_vout", sa.Integer(), nullable=True),
        sa.Column("change_amount", sa.BigInteger(), nullable=True),
        sa.Column("change_script_hex", sa.Text(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=True),
        sa.Column("wtxid", sa.LargeBinary(length=32), nullable=True),
        sa.Column("sends", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("confirmations", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("block_hash_hex", sa.Text(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("conflict_txid", sa.LargeBinary(length=32), nullable=True),
        sa.Column("settled_ms", sa.BigInteger(), nullable=True),
        sa.Column("watched", sa.SmallInteger(), nullable=False, server_default="1"),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'built', 'hold', 'void') OR raw IS NOT NULL",
            name=op.f("ck_payout_batches_signed"),
        ),
        sa.CheckConstraint("state NOT IN ('planned', 'built') OR raw IS NULL", name=op.f("ck_payout_batches_unsigned")),
        sa.CheckConstraint("pool_fee >= 0 AND pool_fee <= fee", name=op.f("ck_payout_batches_fee")),
        sa.CheckConstraint("state <> 'built' OR unsigned_bytes IS NOT NULL", name=op.f("ck_payout_batches_built")),
        sa.CheckConstraint(
            "held_from IS NULL OR held_from IN ('planned', 'built', 'signed', 'broadcast',"
            " 'confirming', 'conflicted', 'replaced')",
            name=op.f("ck_payout_batches_held_from"),
        ),
        sa.CheckConstraint(
            "state <> 'void' OR raw IS NULL OR conflict_txid IS NOT NULL",
            name=op.f("ck_payout_batches_dead"),
        ),
        sa.CheckConstraint("watched IN (0, 1)", name=op.f("ck_payout_batches_watched")),
        sa.CheckConstraint(
            "kind IN ('payout', 'withdraw', 'sweep', 'consolidate')",
            name=op.f("ck_payout_batches_kind"),
        ),
        sa.CheckConstraint("(state = 'hold') = (held_from IS NOT NULL)", name=op.f("ck_payout_batches_held")),
        sa.CheckConstraint(
            "(raw IS NULL) = (txid IS NULL) AND (raw IS NULL) = (wtxid IS NULL)",
            name=op.f("ck_payout_batches_signed_whole"),
        ),
        sa.CheckConstraint("(unsigned_bytes IS NULL) = (fee IS NULL)", name=op.f("ck_payout_batches_built_whole")),
        sa.CheckConstraint(
            "state IN ('planned', 'built', 'signed', 'broadcast', 'confirming', 'settled',"
            " 'conflicted', 'replaced', 'hold', 'void')",
            name=op.f("ck_payout_batches_state"),
        ),
        sa.CheckConstraint("fee_policy IN ('pool', 'miner')", name=op.f("ck_payout_batches_fee_policy")),
        sa.ForeignKeyConstraint(["replaces"], ["payout_batches.id"], name=op.f("fk_payout_batches_replaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_batches")),
        sa.UniqueConstraint("txid", name=op.f("uq_payout_batches_txid")),
        comment="One transaction each, from plan to confirmation.",
    )
    op.create_index(op.f("ix_payout_batches_chain_watched"), "payout_batches", ["chain", "watched"], unique=False)
    op.create_index(
        "uq_payout_batches_one_at_a_time",
        "payout_batches",
        ["chain"],
        unique=True,
        sqlite_where=sa.text(BEFORE_SENDING),
        postgresql_where=sa.text(BEFORE_SENDING),
    )
    op.create_table(
        "payouts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("account_id", ROW_ID, nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("gross", sa.BigInteger(), nullable=False),
        sa.Column("minimum", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=True),
        sa.Column("vout", sa.Integer(), nullable=True),
        sa.Column("net", sa.BigInteger(), nullable=True),
        sa.Column("fee_part", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("gross > 0", name=op.f("ck_payouts_gross")),
        sa.CheckConstraint("state IN ('open', 'settled', 'void')", name=op.f("ck_payouts_state")),
        sa.CheckConstraint("net > 0 AND fee_part >= 0 AND net + fee_part = gross", name=op.f("ck_payouts_parts")),
        sa.CheckConstraint(
            "state <> 'settled' OR (txid IS NOT NULL AND vout IS NOT NULL AND net IS NOT NULL AND"
            " fee_part IS NOT NULL)",
            name=op.f("ck_payouts_settled"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payouts_account_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_payouts_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("chain", "txid", "vout", name=op.f("uq_payouts_chain_txid_vout")),
        comment="What each account is paid; txid, vout, net and fee_part are of the output that paid it for good.",
    )
    op.create_index(op.f("ix_payouts_account_id"), "payouts", ["account_id"], unique=False)
    op.create_index(op.f("ix_payouts_batch_id"), "payouts", ["batch_id"], unique=False)
    op.create_table(
        "payout_outputs",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("payout_id", sa.Text(), nullable=False),
        sa.Column("vout", sa.Integer(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("fee_part", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("net > 0 AND fee_part >= 0", name=op.f("ck_payout_outputs_amounts")),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_payout_outputs_batch_id")),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name=op.f("fk_payout_outputs_payout_id")),
        sa.PrimaryKeyConstraint("batch_id", "payout_id", name=op.f("pk_payout_outputs")),
        sa.UniqueConstraint("batch_id", "vout", name=op.f("uq_payout_outputs_batch_id_vout")),
        comment="Which output of a batch's transaction pays a payout.",
    )
    op.create_table(
        "batch_inputs",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=False),
        sa.Column("vout", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("active", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("active IN (0, 1)", name=op.f("ck_batch_inputs_active")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_batch_inputs_amount")),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_batch_inputs_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "place", name=op.f("pk_batch_inputs")),
        comment="The coins that a batch spends. Active ones are reserved: no second batch can have them.",
    )
    op.create_index(
        "uq_batch_inputs_active",
        "batch_inputs",
        ["chain", "txid", "vout"],
        unique=True,
        sqlite_where=sa.text("active = 1"),
        postgresql_where=sa.text("active = 1"),
    )
    op.create_table(
        "wallet_coins",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=False),
        sa.Column("vout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("spent_batch_id", sa.Text(), nullable=True),
        sa.Column("booked_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "source IN ('income', 'change', 'deposit', 'fund', 'cold')",
            name=op.f("ck_wallet_coins_source"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_wallet_coins_amount")),
        sa.ForeignKeyConstraint(["spent_batch_id"], ["payout_batches.id"], name=op.f("fk_wallet_coins_spent_batch_id")),
        sa.PrimaryKeyConstraint("chain", "txid", "vout", name=op.f("pk_wallet_coins")),
        comment="Every coin that the ledger's wallet is made of; spent_batch_id once a settled batch took it.",
    )
    op.create_index(op.f("ix_wallet_coins_chain_cause"), "wallet_coins", ["chain", "cause"], unique=False)
    op.create_index(op.f("ix_wallet_coins_spent_batch_id"), "wallet_coins", ["spent_batch_id"], unique=False)
    op.create_table(
        "payout_attempts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_payout_attempts_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_attempts")),
        comment="Every signing and sending of a batch and what was answered. Append-only.",
    )
    op.create_index(op.f("ix_payout_attempts_batch_id"), "payout_attempts", ["batch_id"], unique=False)
    op.create_table(
        "payer_epochs",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_payer_epochs")),
        comment="Who pays on a chain now; each new payer raises the epoch, and what an older one writes is refused.",
    )
    op.create_table(
        "chain_holds",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_ms", sa.BigInteger(), nullable=False),
        sa.Column("released_ms", sa.BigInteger(), nullable=True),
        sa.Column("released_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(released_ms IS NULL) = (released_reason IS NULL)", name=op.f("ck_chain_holds_released")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_holds")),
        comment="Why nothing new is paid on a chain; over once released.",
    )
    op.create_index(
        "uq_chain_holds_in_force",
        "chain_holds",
        ["chain", "cause"],
        unique=True,
        sqlite_where=sa.text("released_ms IS NULL"),
        postgresql_where=sa.text("released_ms IS NULL"),
    )
    op.create_table(
        "payout_quarantine",
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payout_quarantine_account_id")),
        sa.PrimaryKeyConstraint("account_id", "address", name=op.f("pk_payout_quarantine")),
        comment="Addresses that cannot be paid to; only their own account waits.",
    )
    make_append_only("payout_attempts")
    for name, table, verb, condition, words in RULES:
        _refuse(name, table, verb, condition, words)


def _refuse(name: str, table: str, verb: str, condition: str, words: str) -> None:
    """A trigger that refuses a row when the condition holds."""
    if op.get_bind().dialect.name == "postgresql":
        # The code is the one of a broken constraint, which is what the triggers are in place of.
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
            f"RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = '{words}'; END IF; "
            f"RETURN {'OLD' if verb == 'DELETE' else 'NEW'}; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
        return
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
    )


def downgrade() -> None:
    for table in (
        "payout_quarantine", "chain_holds", "payer_epochs", "payout_attempts", "wallet_coins", "batch_inputs",
        "payout_outputs", "payouts", "payout_batches",
    ):  # fmt: skip
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for name, *_ in RULES:
            op.execute(f"DROP FUNCTION {name}()")
