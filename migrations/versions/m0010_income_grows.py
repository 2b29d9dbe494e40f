"""Income and expenses only grow, except by the groups that correct them (invariant I4).

Revision ID: 0010
"""

from __future__ import annotations

from alembic import op

from migrations.versions import m0006_payouts as payouts

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CORRECTIONS = ("orphan", "loss", "unfee", "refee")

# As in revision 0006: name of the trigger, table, verb, when it refuses, and its words.
INCOME_GROWS = (
    "transfers_income_grows", "transfers", "INSERT",
    "(substr(NEW.debit, 1, 7) = 'income.' OR substr(NEW.credit, 1, 8) = 'expense.') AND NOT EXISTS"
    " (SELECT 1 FROM transfer_groups g WHERE g.id = NEW.group_id AND g.kind IN"
    f" ({', '.join(repr(kind) for kind in CORRECTIONS)}))",
    "I4: only a correction lessens income or an expense",
)  # fmt: skip


def upgrade() -> None:
    payouts._refuse(*INCOME_GROWS)


def downgrade() -> None:
    name, table = INCOME_GROWS[:2]
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    else:
        op.execute(f"DROP TRIGGER {name}")
