"""Miners' own settings: what they signed, what follows from it, and whom the operator has frozen.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.versions.m0001_first_books import make_append_only

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "settings_messages",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("source IN ('miner', 'operator')", name=op.f("ck_settings_messages_source")),
        sa.CheckConstraint(
            "source <> 'miner' OR (number IS NOT NULL AND number > 0 AND signature <> '')",
            name=op.f("ck_settings_messages_signed"),
        ),
        sa.CheckConstraint(
            "source <> 'operator' OR (number IS NULL AND signature = '')", name=op.f("ck_settings_messages_unsigned")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_messages")),
        sa.UniqueConstraint("script_hex", "number", name=op.f("uq_settings_messages_script_hex_number")),
        comment="Every settings message that was accepted, as proof: who said it, word for word, and the signature.",
    )
    op.create_index(
        op.f("ix_settings_messages_script_hex_received_ms"),
        "settings_messages",
        ["script_hex", "received_ms"],
        unique=False,
    )
    op.create_table(
        "account_settings",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("minimum_payout", sa.BigInteger(), nullable=True),
        sa.Column("payout_script_hex", sa.Text(), nullable=True),
        sa.Column("payout_address", sa.Text(), nullable=True),
        sa.Column("message_id", ROW_ID, nullable=False),
        sa.CheckConstraint("kind IN ('miner', 'held')", name=op.f("ck_account_settings_kind")),
        sa.CheckConstraint("minimum_payout >= 0", name=op.f("ck_account_settings_minimum_payout")),
        sa.CheckConstraint(
            "(payout_script_hex IS NULL) = (payout_address IS NULL)", name=op.f("ck_account_settings_payout_address")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["settings_messages.id"], name=op.f("fk_account_settings_message_id")
        ),
        sa.PrimaryKeyConstraint("chain", "kind", "script_hex", name=op.f("pk_account_settings")),
        comment="What its owner wishes for an account; NULL is the pool's minimum and the account's own address.",
    )
    op.create_table(
        "frozen_scripts",
        sa.Column("script_hex", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("frozen_ms", sa.BigInteger(), nullable=False),
        sa.Column("message_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["settings_messages.id"], name=op.f("fk_frozen_scripts_message_id")),
        sa.PrimaryKeyConstraint("script_hex", name=op.f("pk_frozen_scripts")),
        comment="Accounts of these scripts, of whatever chain and kind, are not paid and release nothing.",
    )
    make_append_only("settings_messages")


def downgrade() -> None:
    op.drop_table("frozen_scripts")
    op.drop_table("account_settings")
    op.drop_table("settings_messages")
