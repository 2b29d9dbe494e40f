"""Votes in the books: which block has a vote, at which index, and how far blocks were scanned for them.

A vote is a row of `blocks` like any solve; where other blocks are paid once per height, votes are paid once per height
and index.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

PAID = sa.text("state IN ('immature', 'mature')")
COLUMNS = ("vote_hash_hex", "container_hash_hex", "event_index", "superseded")
INDEXES = (
    "ix_blocks_chain_state_superseded", "ix_blocks_chain_id", "ix_blocks_chain_vote_hash_hex", "uq_blocks_inclusion",
    "uq_blocks_paid_vote", "uq_blocks_paid_height",
)  # fmt: skip


def upgrade() -> None:
    # Column by column: SQLite then keeps the table as it is, and with it its triggers.
    op.add_column("blocks", sa.Column("vote_hash_hex", sa.Text(), nullable=True))
    op.add_column("blocks", sa.Column("container_hash_hex", sa.Text(), nullable=True))
    op.add_column("blocks", sa.Column("event_index", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("blocks", sa.Column("superseded", sa.SmallInteger(), nullable=False, server_default="0"))
    op.drop_index("uq_blocks_paid_height", "blocks")
    _paid("uq_blocks_paid_height", ["chain", "height", "event_index"])
    _paid("uq_blocks_paid_vote", ["chain", "vote_hash_hex"])
    op.create_index("uq_blocks_inclusion", "blocks", ["chain", "container_hash_hex", "event_index"], unique=True)
    op.create_index(op.f("ix_blocks_chain_vote_hash_hex"), "blocks", ["chain", "vote_hash_hex"], unique=False)
    # Where a year has a handful of blocks it may have a million votes: their pages and counts are read from indexes.
    op.create_index(op.f("ix_blocks_chain_id"), "blocks", ["chain", "id"], unique=False)
    op.create_index(op.f("ix_blocks_chain_state_superseded"), "blocks", ["chain", "state", "superseded"], unique=False)
    op.create_table(
        "vote_scans",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash_hex", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "chain", name=op.f("pk_vote_scans")),
        comment="Up to which block a pool has compared a chain's votes with its books.",
    )


def downgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT COUNT(*) FROM blocks WHERE vote_hash_hex IS NOT NULL")).scalar():
        raise RuntimeError("these books hold votes, which older versions cannot read")
    op.drop_table("vote_scans")
    for name in INDEXES:
        op.drop_index(name, "blocks")
    _paid("uq_blocks_paid_height", ["chain", "height"])
    for name in reversed(COLUMNS):
        op.drop_column("blocks", name)


def _paid(name: str, columns: list[str]) -> None:
    op.create_index(name, "blocks", columns, unique=True, sqlite_where=PAID, postgresql_where=PAID)
