"""Closings of the books: sealed stretches of shares, credits, transfers and payouts. Older versions leave them alone.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.versions.m0001_first_books import make_append_only

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closings",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_closings")),
        comment="Stretches of the books, sealed: canonical bytes, compressed with zlib, and their hash. Append-only.",
    )
    make_append_only("closings")
    op.create_table(
        "closed_ends",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('log', 'chain')", name=op.f("ck_closed_ends_kind")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_closed_ends")),
        comment="How far the closings have come: the last sequence of each share log, the last link of each chain.",
    )


def downgrade() -> None:
    op.drop_table("closed_ends")
    op.drop_table("closings")
