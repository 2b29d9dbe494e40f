"""Sums of shares by stretches of their logs, which the database itself forgets when a share of them changes.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SPAN_BITS = 16
"""A span's number is its sequences without these bits (pool/storage/share_spans.py)."""

# Whoever changes shares, a version of before the sums too, and whatever is done to a row: on PostgreSQL once per
# statement, where a trigger sees the rows of either before or after, under one name.
POSTGRESQL = {
    "insert": "AFTER INSERT ON shares REFERENCING NEW TABLE AS changed",
    "delete": "AFTER DELETE ON shares REFERENCING OLD TABLE AS changed",
    "update_from": "AFTER UPDATE ON shares REFERENCING OLD TABLE AS changed",
    "update_to": "AFTER UPDATE ON shares REFERENCING NEW TABLE AS changed",
}
SQLITE = {
    "insert": ("INSERT", "NEW"),
    "delete": ("DELETE", "OLD"),
    "update_from": ("UPDATE", "OLD"),
    "update_to": ("UPDATE", "NEW"),
}


def upgrade() -> None:
    op.create_table(
        "share_spans",
        sa.Column("log_id", ROW_ID, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chain_set_id", ROW_ID, nullable=False),
        sa.Column("shares", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Text(), nullable=False),
        sa.Column("oldest_ms", sa.BigInteger(), nullable=True),
        sa.Column("route_weights", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["chain_set_id"], ["chain_sets.id"], name=op.f("fk_share_spans_chain_set_id")),
        sa.ForeignKeyConstraint(["log_id"], ["share_logs.id"], name=op.f("fk_share_spans_log_id")),
        sa.PrimaryKeyConstraint("log_id", "number", "chain_set_id", name=op.f("pk_share_spans")),
        comment="Sums of stored shares by 65,536 sequences, made from them and deleted with any change of them.",
    )
    if op.get_bind().dialect.name != "postgresql":
        for name, (verb, row) in SQLITE.items():
            op.execute(
                f"CREATE TRIGGER shares_forget_span_{name} AFTER {verb} ON shares BEGIN"
                f" DELETE FROM share_spans WHERE log_id = {row}.log_id AND number = {row}.sequence >> {SPAN_BITS}; END"
            )
        return
    op.execute(
        "CREATE FUNCTION shares_forget_span() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " DELETE FROM share_spans USING"
        f" (SELECT DISTINCT log_id, sequence >> {SPAN_BITS} AS number FROM changed) AS gone"
        " WHERE share_spans.log_id = gone.log_id AND share_spans.number = gone.number;"
        " RETURN NULL; END $$"
    )
    for name, when in POSTGRESQL.items():
        op.execute(
            f"CREATE TRIGGER shares_forget_span_{name} {when} FOR EACH STATEMENT EXECUTE FUNCTION shares_forget_span()"
        )


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name in POSTGRESQL:
        op.execute(f"DROP TRIGGER shares_forget_span_{name}" + (" ON shares" if postgresql else ""))
    if postgresql:
        op.execute("DROP FUNCTION shares_forget_span()")
    op.drop_table("share_spans")
