"""The first books: shares, blocks, credits and the ledger.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("credits", "transfers", "transfer_groups")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('miner', 'held')", name=op.f("ck_accounts_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("chain", "kind", "script_hex", name=op.f("uq_accounts_chain_kind_script_hex")),
        comment="Who can be owed coins on a chain: a payout script, or `held` for a parent address.",
    )
    op.create_index(op.f("ix_accounts_address"), "accounts", ["address"], unique=False)
    op.create_table(
        "balances",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount >= 0 OR (account NOT LIKE 'liab.%' AND account NOT LIKE 'asset.%')",
            name=op.f("ck_balances_not_negative"),
        ),
        sa.PrimaryKeyConstraint("chain", "account", name=op.f("pk_balances")),
        comment="Sums of the transfers, written with them; can be rebuilt from them at any time (invariant I12).",
    )
    op.create_table(
        "chain_sets",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_sets")),
        sa.UniqueConstraint("names", name=op.f("uq_chain_sets_names")),
        comment="Sets of chains that shares count for, names sorted and joined by commas.",
    )
    op.create_table(
        "routes",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("login_parent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routes")),
        sa.UniqueConstraint("digest", name=op.f("uq_routes_digest")),
    )
    op.create_index(op.f("ix_routes_login_parent"), "routes", ["login_parent"], unique=False)
    op.create_table(
        "share_logs",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_logs")),
        sa.UniqueConstraint("name", name=op.f("uq_share_logs_name")),
        comment="One row per share log (a process has one): how far it is consumed, written with the shares it covers.",
    )
    op.create_table(
        "transfer_groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_groups")),
    )
    op.create_table(
        "blocks",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("hash_hex", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reward", sa.BigInteger(), nullable=True),
        sa.Column("fee", sa.BigInteger(), nullable=True),
        sa.Column("log_id", ROW_ID, nullable=False),
        sa.Column("share_sequence", sa.BigInteger(), nullable=False),
        sa.Column("target_hex", sa.Text(), nullable=False),
        sa.Column("found_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmations", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("orphaned_times", sa.Integer(), nullable=False),
        sa.Column("watched", sa.SmallInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('submitted', 'immature', 'mature', 'orphan', 'rejected')", name=op.f("ck_blocks_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('immature', 'mature') OR (reward IS NOT NULL AND fee IS NOT NULL)",
            name=op.f("ck_blocks_credited"),
        ),
        sa.CheckConstraint("fee >= 0 AND fee <= reward", name=op.f("ck_blocks_fee")),
        sa.CheckConstraint("reward >= 0", name=op.f("ck_blocks_reward")),
        sa.CheckConstraint("watched IN (0, 1)", name=op.f("ck_blocks_watched")),
        sa.ForeignKeyConstraint(["log_id"], ["share_logs.id"], name=op.f("fk_blocks_log_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
        sa.UniqueConstraint("chain", "hash_hex", name=op.f("uq_blocks_chain_hash_hex")),
    )
    op.create_index(op.f("ix_blocks_chain_watched"), "blocks", ["chain", "watched"], unique=False)
    op.create_index(
        "uq_blocks_paid_height",
        "blocks",
        ["chain", "height"],
        unique=True,
        sqlite_where=sa.text("state IN ('immature', 'mature')"),
        postgresql_where=sa.text("state IN ('immature', 'mature')"),
    )
    op.create_table(
        "route_accounts",
        sa.Column("route_id", ROW_ID, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_route_accounts_account_id")),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name=op.f("fk_route_accounts_route_id")),
        sa.PrimaryKeyConstraint("route_id", "chain", name=op.f("pk_route_accounts")),
    )
    op.create_table(
        "share_solves",
        sa.Column("log_id", ROW_ID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("block_hash_hex", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["share_logs.id"], name=op.f("fk_share_solves_log_id")),
        sa.PrimaryKeyConstraint("log_id", "sequence", "chain", name=op.f("pk_share_solves")),
        comment="Which blocks a share solved. Outlives the share.",
    )
    op.create_index(
        op.f("ix_share_solves_chain_block_hash_hex"), "share_solves", ["chain", "block_hash_hex"], unique=False
    )
    op.create_table(
        "shares",
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
        sa.ForeignKeyConstraint(["chain_set_id"], ["chain_sets.id"], name=op.f("fk_shares_chain_set_id")),
        sa.ForeignKeyConstraint(["log_id"], ["share_logs.id"], name=op.f("fk_shares_log_id")),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name=op.f("fk_shares_route_id")),
        sa.PrimaryKeyConstraint("log_id", "sequence", name=op.f("pk_shares")),
        sa.UniqueConstraint("header_hash", name=op.f("uq_shares_header_hash")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_shares_route_id_time_ms"), "shares", ["route_id", "time_ms"], unique=False)
    op.create_index(op.f("ix_shares_time_ms"), "shares", ["time_ms"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_amount")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfers_accounts")),
        sa.ForeignKeyConstraint(["group_id"], ["transfer_groups.id"], name=op.f("fk_transfers_group_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
    )
    op.create_index(op.f("ix_transfers_chain_credit"), "transfers", ["chain", "credit"], unique=False)
    op.create_index(op.f("ix_transfers_chain_debit"), "transfers", ["chain", "debit"], unique=False)
    op.create_index(op.f("ix_transfers_group_id"), "transfers", ["group_id"], unique=False)
    op.create_table(
        "credits",
        sa.Column("block_id", ROW_ID, nullable=False),
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.Column("weight", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_credits_amount")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_credits_account_id")),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_credits_block_id")),
        sa.PrimaryKeyConstraint("block_id", "account_id", name=op.f("pk_credits")),
        comment="What each account earns from a block; void while it is an orphan. weight is a decimal of any size.",
    )
    op.create_index(op.f("ix_credits_account_id_block_id"), "credits", ["account_id", "block_id"], unique=False)
    for table in APPEND_ONLY:
        make_append_only(table)


def make_append_only(table: str) -> None:
    """Triggers that refuse to change or delete a row (invariant I11)."""
    if op.get_bind().dialect.name == "postgresql":
        # The code is the one of a broken constraint, which is what the triggers are in place of.
        op.execute(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', "
            "MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$"
        )
        for verb, each in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{verb.lower()} BEFORE {verb} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("credits")
    op.drop_table("transfers")
    op.drop_table("shares")
    op.drop_table("share_solves")
    op.drop_table("route_accounts")
    op.drop_table("blocks")
    op.drop_table("transfer_groups")
    op.drop_table("share_logs")
    op.drop_table("routes")
    op.drop_table("chain_sets")
    op.drop_table("balances")
    op.drop_table("accounts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
