"""Losses of final blocks, the hash chain of the ledger, and balances that may not fall below zero.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.versions.m0001_first_books import make_append_only

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATES = "state IN ('submitted', 'immature', 'mature', 'orphan', 'rejected')"
STATES_WITH_LOST = "state IN ('submitted', 'immature', 'mature', 'orphan', 'rejected', 'lost')"
NOT_NEGATIVE = "amount >= 0 OR (account NOT LIKE 'liab.%' AND account NOT LIKE 'asset.%')"
# The wallet may: what a deep reorg took after it was paid out is missing until the payment's own fate is booked.
NOT_NEGATIVE_BUT_WALLET = (
    "amount >= 0 OR account = 'asset.wallet' OR (account NOT LIKE 'liab.%' AND account NOT LIKE 'asset.%'"
    " AND account NOT LIKE 'suspense.%'"
    " AND account NOT IN ('equity.operator.immature', 'equity.operator.available'))"
)


def upgrade() -> None:
    op.create_table(
        "ledger_links",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["transfer_groups.id"], name=op.f("fk_ledger_links_group_id")),
        sa.PrimaryKeyConstraint("chain", "number", name=op.f("pk_ledger_links")),
        sa.UniqueConstraint("group_id", name=op.f("uq_ledger_links_group_id")),
        comment="The hash chain through a chain's transfer groups, in the order they were written (invariant I11).",
    )
    make_append_only("ledger_links")
    with op.batch_alter_table("blocks") as batch:
        batch.add_column(sa.Column("lost_times", sa.Integer(), nullable=False, server_default="0"))
    _replace_check("blocks", "state", STATES_WITH_LOST)
    _replace_check("balances", "not_negative", NOT_NEGATIVE_BUT_WALLET)


def downgrade() -> None:
    _replace_check("balances", "not_negative", NOT_NEGATIVE)
    _replace_check("blocks", "state", STATES)
    with op.batch_alter_table("blocks") as batch:
        batch.drop_column("lost_times")
    op.drop_table("ledger_links")


def _replace_check(table: str, name: str, condition: str) -> None:
    full_name = f"ck_{table}_{name}"
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(full_name), type_="check")
        batch.create_check_constraint(op.f(full_name), sa.text(condition))
