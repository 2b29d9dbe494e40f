"""The tables of miners' own settings, on the metadata of pool/storage/tables.py.

What was decided is in `settings_messages`, word for word and for ever: a miner's with the signature that proves it, an
operator's with a reason. The others hold what follows from them now.

Settings are kept by what names an account in the books (chain, kind, script) and not by its id: an account appears with
its first share, which may be later.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from pool.storage.tables import RowId, metadata

settings_messages = Table(
    "settings_messages",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("script_hex", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("number", BigInteger),
    Column("message", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    CheckConstraint("source IN ('miner', 'operator')", name="source"),
    CheckConstraint("source <> 'miner' OR (number IS NOT NULL AND number > 0 AND signature <> '')", name="signed"),
    CheckConstraint("source <> 'operator' OR (number IS NULL AND signature = '')", name="unsigned"),
    UniqueConstraint("script_hex", "number"),
    Index(None, "script_hex", "received_ms"),
    comment="Every settings message that was accepted, as proof: who said it, word for word, and the signature.",
)

account_settings = Table(
    "account_settings",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("script_hex", Text, primary_key=True),
    Column("minimum_payout", BigInteger),
    Column("payout_script_hex", Text),
    Column("payout_address", Text),
    Column("message_id", ForeignKey("settings_messages.id"), nullable=False),
    CheckConstraint("kind IN ('miner', 'held')", name="kind"),
    CheckConstraint("minimum_payout >= 0", name="minimum_payout"),
    CheckConstraint("(payout_script_hex IS NULL) = (payout_address IS NULL)", name="payout_address"),
    comment="What its owner wishes for an account; NULL is the pool's minimum and the account's own address.",
)

frozen_scripts = Table(
    "frozen_scripts",
    metadata,
    Column("script_hex", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("frozen_ms", BigInteger, nullable=False),
    Column("message_id", ForeignKey("settings_messages.id"), nullable=False),
    comment="Accounts of these scripts, of whatever chain and kind, are not paid and release nothing.",
)

offline_notices = Table(
    "offline_notices",
    metadata,
    Column("script_hex", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("after_min", BigInteger, nullable=False),
    Column("message_id", ForeignKey("settings_messages.id"), nullable=False),
    CheckConstraint("after_min > 0", name="after_min"),
    comment="Where a miner is told of silent workers. The target is a secret.",
)
