"""Verdicts in the orders that they are asked in: newest first, and those that did not merely allow.

What nobody asks by (the event, the subject, the event's own time) is in no index any more: each costs a page or two
of writing for every verdict.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Replace the indexes; takes some seconds for each million of verdicts."""
    for names in ("time_id", "served_time", "event_id", "subject"):
        op.drop_index(f"ix_verdicts_{names}", "verdicts")
    op.create_index("ix_verdicts_tau_id", "verdicts", ["tau", "id"])
    for column in ("served", "computed"):
        rare = sa.text(f"{column} <> 'allow'")
        op.create_index(
            f"ix_verdicts_{column}_tau_id", "verdicts", [column, "tau", "id"], sqlite_where=rare, postgresql_where=rare
        )
