"""Where miners are told, on their own request, that their workers are silent. Versions before it leave it alone.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "offline_notices",
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("after_min", sa.BigInteger(), nullable=False),
        sa.Column("message_id", ROW_ID, nullable=False),
        sa.CheckConstraint("after_min > 0", name=op.f("ck_offline_notices_after_min")),
        sa.ForeignKeyConstraint(["message_id"], ["settings_messages.id"], name=op.f("fk_offline_notices_message_id")),
        sa.PrimaryKeyConstraint("script_hex", name=op.f("pk_offline_notices")),
        comment="Where a miner is told of silent workers. The target is a secret.",
    )


def downgrade() -> None:
    op.drop_table("offline_notices")
