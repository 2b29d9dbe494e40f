"""Further transactions of a batch whose fee was raised, and the order to raise it.

The state `replaced`, which nothing was ever in, is no longer reached; a batch of several versions keeps its state.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.versions import m0006_payouts as payouts
from migrations.versions.m0001_first_books import make_append_only

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STEPS = tuple(step for step in payouts.STEPS if "replaced" not in step)


def _steps() -> str:
    return ", ".join(f"'{step}'" for step in STEPS)


_OLD = {rule[0]: rule for rule in payouts.RULES}
_CHANGED = _OLD["payout_batches_same_bytes"][3]
_A_VERSION = (
    "EXISTS (SELECT 1 FROM payout_versions v WHERE v.batch_id = OLD.id AND v.raw = NEW.raw AND v.txid = NEW.txid"
    " AND v.wtxid = NEW.wtxid AND v.fee = NEW.fee AND v.pool_fee = NEW.pool_fee)"
)

# As in revision 0006: name of the trigger, table, verb, when it refuses, and its words.
RULES: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "payout_batches_step", "payout_batches", "UPDATE",
        f"OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({_steps()})",
        "a batch does not take this step",
    ),
    (
        "payout_batches_same_bytes", "payout_batches", "UPDATE",
        f"({_CHANGED}) AND (OLD.state IN ('settled', 'void') OR NOT {_A_VERSION})",
        "what is signed never changes",
    ),
)  # fmt: skip
OF_SIGNED = (
    "payout_versions_of_signed", "payout_versions", "INSERT",
    "NOT EXISTS (SELECT 1 FROM payout_batches b WHERE b.id = NEW.batch_id AND b.chain = NEW.chain"
    " AND b.raw IS NOT NULL)",
    "only what is signed has versions",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("payout_batches", sa.Column("bump_rate", sa.BigInteger(), nullable=True))
    op.create_table(
        "payout_versions",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("signed_ms", sa.BigInteger(), nullable=False),
        sa.Column("fee_rate", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("pool_fee", sa.BigInteger(), nullable=False),
        sa.Column("vsize", sa.BigInteger(), nullable=False),
        sa.Column("unsigned_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("change_vout", sa.Integer(), nullable=True),
        sa.Column("change_amount", sa.BigInteger(), nullable=True),
        sa.Column("change_script_hex", sa.Text(), nullable=True),
        sa.Column("input_count", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=False),
        sa.Column("wtxid", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint("number >= 0 AND input_count > 0", name=op.f("ck_payout_versions_numbers")),
        sa.CheckConstraint("pool_fee >= 0 AND pool_fee <= fee", name=op.f("ck_payout_versions_fee")),
        sa.ForeignKeyConstraint(["batch_id"], ["payout_batches.id"], name=op.f("fk_payout_versions_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "number", name=op.f("pk_payout_versions")),
        sa.UniqueConstraint("txid", name=op.f("uq_payout_versions_txid")),
        comment="Every transaction of a batch that has more than one. Append-only.",
    )
    make_append_only("payout_versions")
    _replace_rules(RULES)
    payouts._refuse(*OF_SIGNED)


def downgrade() -> None:
    _replace_rules(tuple(_OLD[rule[0]] for rule in RULES))
    op.drop_table("payout_versions")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION payout_versions_of_signed()")
    op.drop_column("payout_batches", "bump_rate")


def _replace_rules(rules: tuple[tuple[str, str, str, str, str], ...]) -> None:
    for rule in rules:
        name, table = rule[:2]
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION {name}()")
        else:
            op.execute(f"DROP TRIGGER {name}")
        payouts._refuse(*rule)
