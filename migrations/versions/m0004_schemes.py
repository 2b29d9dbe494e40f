"""Income events with the terms they were credited by, credits by event, and the tables of PPS.

Blocks that were credited before get an event row as far as the books tell: what they do not (fee in parts per million,
window) stays NULL. From here on the database itself refuses a block as immature whose events do not add up (I6).

Revision ID: 0004
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from migrations.versions.m0001_first_books import make_append_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

PAID = "('immature', 'mature')"
NOT_ADDED_UP = "I6: credits, fee, operator and unexplained are not the reward"

# Without event rows the block is being credited by a version that knows none: one event, nothing of it the operator's,
# and unexplained is all or nothing.
ADDS_UP = """
CASE WHEN EXISTS (SELECT 1 FROM income_events e WHERE e.block_id = NEW.id) THEN
  (SELECT SUM(e.reward) FROM income_events e WHERE e.block_id = NEW.id) = NEW.reward
  AND (SELECT SUM(e.fee) FROM income_events e WHERE e.block_id = NEW.id) = NEW.fee
  AND (SELECT SUM(e.fee) + SUM(e.operator_amount) + SUM(e.unexplained) FROM income_events e WHERE e.block_id = NEW.id)
    + (SELECT COALESCE(SUM(c.amount), 0) FROM credits c WHERE c.block_id = NEW.id) = NEW.reward
  AND NOT EXISTS (
    SELECT 1 FROM income_events e WHERE e.block_id = NEW.id AND e.reward <> e.fee + e.operator_amount + e.unexplained
    + (SELECT COALESCE(SUM(c.amount), 0) FROM credits c WHERE c.block_id = NEW.id AND c.event_index = e.event_index))
ELSE
  (SELECT COALESCE(SUM(c.amount), 0) FROM credits c WHERE c.block_id = NEW.id) + NEW.fee = NEW.reward
  OR (NEW.fee = 0 AND NOT EXISTS (SELECT 1 FROM credits c WHERE c.block_id = NEW.id))
END
"""


def upgrade() -> None:
    op.create_table(
        "income_events",
        sa.Column("block_id", ROW_ID, nullable=False),
        sa.Column("event_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reward", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("operator_amount", sa.BigInteger(), nullable=False),
        sa.Column("unexplained", sa.BigInteger(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("fee_ppm", sa.BigInteger(), nullable=True),
        sa.Column("factor", sa.Text(), nullable=True),
        sa.Column("window_min_ms", sa.BigInteger(), nullable=True),
        sa.Column("total_weight", sa.Text(), nullable=False),
        sa.Column("share_count", sa.BigInteger(), nullable=True),
        sa.Column("oldest_log_id", ROW_ID, nullable=True),
        sa.Column("oldest_sequence", sa.BigInteger(), nullable=True),
        sa.Column("oldest_ms", sa.BigInteger(), nullable=True),
        sa.Column("newest_log_id", ROW_ID, nullable=True),
        sa.Column("newest_sequence", sa.BigInteger(), nullable=True),
        sa.Column("newest_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("event_index >= 0", name=op.f("ck_income_events_event_index")),
        sa.CheckConstraint("scheme IN ('pplns', 'solo', 'pps', 'fpps')", name=op.f("ck_income_events_scheme")),
        sa.CheckConstraint(
            "fee >= 0 AND operator_amount >= 0 AND unexplained >= 0"
            " AND fee + operator_amount + unexplained <= reward",
            name=op.f("ck_income_events_parts"),
        ),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_income_events_block_id")),
        sa.ForeignKeyConstraint(["oldest_log_id"], ["share_logs.id"], name=op.f("fk_income_events_oldest_log_id")),
        sa.ForeignKeyConstraint(["newest_log_id"], ["share_logs.id"], name=op.f("fk_income_events_newest_log_id")),
        sa.PrimaryKeyConstraint("block_id", "event_index", name=op.f("pk_income_events")),
        comment="What one proof of a block paid, and the terms it was credited by; what is not known of old ones is"
        " NULL.",
    )
    _credits_by_event()
    _fill_events()
    _pps_tables()
    make_append_only("income_events")
    _make_checks()


def downgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT COUNT(*) FROM credits WHERE event_index <> 0")).scalar():
        raise RuntimeError("these books hold blocks with several income events, which older versions cannot read")
    _drop_checks()
    for table in ("pps_accruals", "pps_rates", "pps_accounts", "pps_chains"):
        op.drop_table(table)
    _credits_by_block()
    op.drop_table("income_events")


# -- credits ----------------------------------------------------------------------------------------------------------

CREDIT_COLUMNS = "block_id, account_id, weight, amount"


def _credits_by_event() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("credits", sa.Column("event_index", sa.Integer(), nullable=False, server_default="0"))
        op.drop_constraint("pk_credits", "credits")
        op.create_primary_key("pk_credits", "credits", ["block_id", "event_index", "account_id"])
        return
    event_index = sa.Column("event_index", sa.Integer(), nullable=False, server_default="0")
    _rebuild_credits(event_index, ("block_id", "event_index", "account_id"))


def _credits_by_block() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_credits", "credits")
        op.create_primary_key("pk_credits", "credits", ["block_id", "account_id"])
        op.drop_column("credits", "event_index")
        return
    _rebuild_credits(None, ("block_id", "account_id"))


def _rebuild_credits(event_index: sa.Column[int] | None, key: tuple[str, ...]) -> None:
    """SQLite changes a primary key only by making the table anew; its triggers and indexes go with the old one."""
    op.create_table(
        "credits_new",
        sa.Column("block_id", ROW_ID, nullable=False),
        *([] if event_index is None else [event_index]),
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.Column("weight", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_credits_amount")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_credits_account_id")),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_credits_block_id")),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_credits")),
    )
    op.execute(f"INSERT INTO credits_new ({CREDIT_COLUMNS}) SELECT {CREDIT_COLUMNS} FROM credits")
    op.drop_table("credits")
    op.rename_table("credits_new", "credits")
    op.create_index(op.f("ix_credits_account_id_block_id"), "credits", ["account_id", "block_id"], unique=False)
    make_append_only("credits")


def _fill_events() -> None:
    """An event for each block that was credited, all under PPLNS: there was nothing else."""
    connection = op.get_bind()
    insert = sa.text(
        "INSERT INTO income_events (block_id, event_index, reward, fee, operator_amount, unexplained, scheme,"
        " total_weight) VALUES (:block_id, 0, :reward, :fee, 0, :unexplained, 'pplns', :total_weight)"
    )
    blocks = connection.execute(sa.text("SELECT id, reward, fee FROM blocks WHERE reward IS NOT NULL ORDER BY id"))
    for block_id, reward, fee in blocks.all():
        weight = amount = 0
        for its_weight, its_amount in _credits_of(connection, block_id):
            weight, amount = weight + int(its_weight), amount + its_amount
        row = {"block_id": block_id, "reward": reward, "fee": fee, "unexplained": reward - fee - amount}
        connection.execute(insert, row | {"total_weight": str(weight)})


def _credits_of(connection: sa.Connection, block_id: int) -> Iterator[tuple[str, int]]:
    query = sa.text("SELECT weight, amount FROM credits WHERE block_id = :block_id")
    for row in connection.execute(query, {"block_id": block_id}):
        yield row.weight, row.amount


# -- PPS --------------------------------------------------------------------------------------------------------------


def _pps_tables() -> None:
    op.create_table(
        "pps_rates",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("reward", sa.BigInteger(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("fee_ppm", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("scheme IN ('pps', 'fpps')", name=op.f("ck_pps_rates_scheme")),
        sa.CheckConstraint("reward >= 0", name=op.f("ck_pps_rates_reward")),
        sa.CheckConstraint("fee_ppm >= 0 AND fee_ppm <= 1000000", name=op.f("ck_pps_rates_fee_ppm")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pps_rates")),
        sa.UniqueConstraint(
            "chain", "scheme", "reward", "work", "fee_ppm", name=op.f("uq_pps_rates_chain_scheme_reward_work_fee_ppm")
        ),
        comment="What shares were bought at: reward smallest units for work expected hashes, less the fee.",
    )
    op.create_table(
        "pps_accruals",
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.Column("rate_id", ROW_ID, nullable=False),
        sa.Column("weight", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_pps_accruals_account_id")),
        sa.ForeignKeyConstraint(["rate_id"], ["pps_rates.id"], name=op.f("fk_pps_accruals_rate_id")),
        sa.PrimaryKeyConstraint("account_id", "rate_id", name=op.f("pk_pps_accruals")),
        comment="The weight of all shares of an account at a rate, until the rate is over and folded.",
    )
    op.create_index(op.f("ix_pps_accruals_rate_id"), "pps_accruals", ["rate_id"], unique=False)
    op.create_table(
        "pps_accounts",
        sa.Column("account_id", ROW_ID, nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("credited", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credited >= 0", name=op.f("ck_pps_accounts_credited")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_pps_accounts_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_pps_accounts")),
        comment="Per account: the worth of rates that are over, in 2**-256 units, and all that was ever credited.",
    )
    op.create_table(
        "pps_chains",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("earned", sa.Text(), nullable=False),
        sa.Column("credited", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credited >= 0", name=op.f("ck_pps_chains_credited")),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_pps_chains")),
        comment="Per chain: the worth of all shares bought, in 2**-256 units, and all that was ever credited for them.",
    )


# -- I6 ---------------------------------------------------------------------------------------------------------------


def _make_checks() -> None:
    """A block begins unpaid; it turns immature only when its events add up, and after that they do not grow."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _postgresql_checks() if postgresql else _sqlite_checks():
        op.execute(sa.text(statement.replace(":", r"\:")))


def _sqlite_checks() -> list[str]:
    turned = (
        f"NEW.state IN {PAID} AND (OLD.state NOT IN {PAID} OR OLD.reward IS NOT NEW.reward OR OLD.fee IS NOT NEW.fee)"
    )
    statements = [
        f"CREATE TRIGGER blocks_add_up_insert BEFORE INSERT ON blocks WHEN NEW.state IN {PAID} "
        f"BEGIN SELECT RAISE(ABORT, '{NOT_ADDED_UP}'); END",
        f"CREATE TRIGGER blocks_add_up_update BEFORE UPDATE OF state, reward, fee ON blocks WHEN {turned} "
        f"BEGIN SELECT RAISE(ABORT, '{NOT_ADDED_UP}') WHERE NOT COALESCE({ADDS_UP}, 0); END",
    ]
    for table in ("credits", "income_events"):
        statements.append(
            f"CREATE TRIGGER {table}_in_time BEFORE INSERT ON {table} "
            f"WHEN (SELECT state FROM blocks WHERE id = NEW.block_id) IN {PAID} "
            f"BEGIN SELECT RAISE(ABORT, 'I6: the block is credited already'); END"
        )
    return statements


def _postgresql_checks() -> list[str]:
    error = "RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE ="
    turned = (
        f"NEW.state IN {PAID} AND (OLD.state NOT IN {PAID} OR OLD.reward IS DISTINCT FROM NEW.reward"
        " OR OLD.fee IS DISTINCT FROM NEW.fee)"
    )
    statements = [
        "CREATE FUNCTION refuse_paid_block() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {error} '{NOT_ADDED_UP}'; END $$",
        "CREATE FUNCTION check_income_adds_up() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF NOT COALESCE({ADDS_UP}, FALSE) THEN {error} '{NOT_ADDED_UP}'; END IF; RETURN NEW; END $$",
        "CREATE FUNCTION check_income_in_time() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF (SELECT state FROM blocks WHERE id = NEW.block_id) IN {PAID} THEN "
        f"{error} 'I6: the block is credited already'; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER blocks_add_up_insert BEFORE INSERT ON blocks FOR EACH ROW WHEN (NEW.state IN {PAID}) "
        "EXECUTE FUNCTION refuse_paid_block()",
        f"CREATE TRIGGER blocks_add_up_update BEFORE UPDATE OF state, reward, fee ON blocks FOR EACH ROW "
        f"WHEN ({turned}) EXECUTE FUNCTION check_income_adds_up()",
    ]
    for table in ("credits", "income_events"):
        statements.append(
            f"CREATE TRIGGER {table}_in_time BEFORE INSERT ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION check_income_in_time()"
        )
    return statements


def _drop_checks() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    triggers = (
        ("blocks", "blocks_add_up_insert"),
        ("blocks", "blocks_add_up_update"),
        ("credits", "credits_in_time"),
        ("income_events", "income_events_in_time"),
    )
    for table, name in triggers:
        op.execute(f"DROP TRIGGER {name} ON {table}" if postgresql else f"DROP TRIGGER {name}")
    if postgresql:
        for function in ("refuse_paid_block", "check_income_adds_up", "check_income_in_time"):
            op.execute(f"DROP FUNCTION {function}()")
