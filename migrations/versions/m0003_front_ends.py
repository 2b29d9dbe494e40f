"""Several front ends in one pool, how far each is drained, and shares kept by the hour.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("share_logs") as batch:
        batch.add_column(sa.Column("pool", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("drained_sequence", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("drained_ms", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("written_off_ms", sa.BigInteger(), nullable=True))
    # Until now a pool was one process with one log of its name.
    op.execute("UPDATE share_logs SET pool = name")
    op.create_table(
        "pool_leads",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pool", name=op.f("pk_pool_leads")),
        comment="Which of a pool's processes follows its blocks (and reads its stream) at present.",
    )
    op.create_table(
        "share_sums",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_id", ROW_ID, nullable=False),
        sa.Column("route_id", ROW_ID, nullable=False),
        sa.Column("chain_set_id", ROW_ID, nullable=False),
        sa.Column("shares", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["chain_set_id"], ["chain_sets.id"], name=op.f("fk_share_sums_chain_set_id")),
        sa.ForeignKeyConstraint(["log_id"], ["share_logs.id"], name=op.f("fk_share_sums_log_id")),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name=op.f("fk_share_sums_route_id")),
        sa.PrimaryKeyConstraint("hour_ms", "log_id", "route_id", "chain_set_id", name=op.f("pk_share_sums")),
        sqlite_with_rowid=False,
        comment="Shares that are no longer kept one by one, by hour. weight is a decimal of any size.",
    )


def downgrade() -> None:
    op.drop_table("share_sums")
    op.drop_table("pool_leads")
    with op.batch_alter_table("share_logs") as batch:
        for name in ("written_off_ms", "drained_ms", "drained_sequence", "pool"):
            batch.drop_column(name)
