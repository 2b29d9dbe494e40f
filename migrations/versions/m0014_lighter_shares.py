"""Shares without what costs more than storing them: the index over all header hashes, and the references of each row.

Revision ID: 0014

docs/adr/0022 tells what keeps a header hash from counting twice instead. PostgreSQL forgets the constraints at once;
SQLite copies the table, some seconds for each million shares.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SPAN_BITS = 16
UNIQUE = "uq_shares_header_hash"
REFERENCES = {"log_id": "share_logs", "route_id": "routes", "chain_set_id": "chain_sets"}

# As migration 0008 made them.
TRIGGERS = {
    "insert": ("INSERT", "NEW"),
    "delete": ("DELETE", "OLD"),
    "update_from": ("UPDATE", "OLD"),
    "update_to": ("UPDATE", "NEW"),
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        _copy_shares()
        return
    op.drop_constraint(UNIQUE, "shares")
    for column in REFERENCES:
        op.drop_constraint(f"fk_shares_{column}", "shares")


def downgrade() -> None:
    """Fails when a header hash is there twice."""
    if op.get_bind().dialect.name != "postgresql":
        _copy_shares(
            sa.UniqueConstraint("header_hash", name=op.f(UNIQUE)),
            *(
                sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(f"fk_shares_{column}"))
                for column, table in REFERENCES.items()
            ),
        )
        return
    op.create_unique_constraint(UNIQUE, "shares", ["header_hash"])
    for column, table in REFERENCES.items():
        op.create_foreign_key(f"fk_shares_{column}", "shares", table, [column], ["id"])


def _copy_shares(*constraints: sa.Constraint) -> None:
    """SQLite cannot drop a constraint. Equal tables are copied page by page, before the new one has indexes."""
    op.create_table(
        "new_shares",
        sa.Column("log_id", ROW_ID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("route_id", ROW_ID, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("chain_set_id", ROW_ID, nullable=False),
        sa.Column("header_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("stale", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("stale IN (0, 1)", name=op.f("ck_shares_stale")),
        sa.CheckConstraint("weight >= 0", name=op.f("ck_shares_weight")),
        sa.PrimaryKeyConstraint("log_id", "sequence", name=op.f("pk_shares")),
        *constraints,
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO new_shares SELECT * FROM shares")
    op.drop_table("shares")
    op.rename_table("new_shares", "shares")
    op.create_index(op.f("ix_shares_time_ms"), "shares", ["time_ms"], unique=False)
    op.create_index(op.f("ix_shares_route_id_time_ms"), "shares", ["route_id", "time_ms"], unique=False)
    for name, (verb, row) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER shares_forget_span_{name} AFTER {verb} ON shares BEGIN"
            f" DELETE FROM share_spans WHERE log_id = {row}.log_id AND number = {row}.sequence >> {SPAN_BITS}; END"
        )
