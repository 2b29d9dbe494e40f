"""The scheme that a block's solve counted under, which also a solve without a share has.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEME = "scheme IN ('pplns', 'solo', 'pps', 'fpps')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("blocks", sa.Column("scheme", sa.Text(), nullable=True))
        op.create_check_constraint(op.f("ck_blocks_scheme"), "blocks", sa.text(SCHEME))
        return
    # SQLite adds a column with its own check without making the table anew, which would lose its triggers.
    op.execute(f"ALTER TABLE blocks ADD COLUMN scheme TEXT CONSTRAINT ck_blocks_scheme CHECK ({SCHEME})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_blocks_scheme"), "blocks")
    op.drop_column("blocks", "scheme")
