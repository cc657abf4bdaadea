"""The first schema: one table a noun, a JSON body beside the columns that it can be asked by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


_TEXT, _INTEGER, _REAL = sa.String, sa.BigInteger, sa.Float


def _create(name: str, *columns: tuple[str, type[Any]], versioned: bool = False, search: bool = False) -> None:
    more: list[sa.Column[Any]] = [sa.Column("version", sa.BigInteger(), nullable=False)] if versioned else []
    more += [sa.Column("search", sa.Text(), nullable=False)] if search else []
    op.create_table(
        name,
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(column, kind(), nullable=True) for column, kind in columns),
        *more,
        sa.Column("body", sa.JSON(), nullable=False),
    )


def _index(table: str, *lists: str) -> None:
    for names in lists:
        columns = names.split("+")
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def upgrade() -> None:
    """Create the tables and their indexes."""
    _create(
        "incidents",
        ("shop", _TEXT),
        ("kind", _TEXT),
        ("subject", _TEXT),
        ("severity", _TEXT),
        ("phase", _TEXT),
        ("label", _TEXT),
        ("onset", _INTEGER),
        ("opened", _INTEGER),
        ("updated", _INTEGER),
        ("closed", _INTEGER),
        ("loss_per_minute", _INTEGER),
        ("loss", _INTEGER),
        ("score", _REAL),
        versioned=True,
        search=True,
    )
    _index("incidents", "opened+id", "updated+id", "phase+severity", "kind", "subject")
    _create(
        "signals",
        ("desk", _TEXT),
        ("kind", _TEXT),
        ("shop", _TEXT),
        ("subject", _TEXT),
        ("onset", _INTEGER),
        ("tau", _INTEGER),
        search=True,
    )
    _index("signals", "onset+id", "subject")
    _create(
        "actions",
        ("shop", _TEXT),
        ("incident", _TEXT),
        ("playbook", _TEXT),
        ("verb", _TEXT),
        ("target", _TEXT),
        ("state", _TEXT),
        ("effect", _TEXT),
        ("created", _INTEGER),
        ("decided", _INTEGER),
        ("done", _INTEGER),
        ("ended", _INTEGER),
        ("expires", _INTEGER),
        versioned=True,
        search=True,
    )
    _index("actions", "created+id", "state+created", "incident", "target", "expires")
    _create(
        "rulings",
        ("action", _TEXT),
        ("answer", _TEXT),
        ("by", _TEXT),
        ("time", _INTEGER),
    )
    _index("rulings", "action", "time+id")
    _create(
        "outcomes",
        ("action", _TEXT),
        ("what", _TEXT),
        ("effect", _TEXT),
        ("time", _INTEGER),
    )
    _index("outcomes", "action", "time+id")
    _create(
        "verdicts",
        ("event_id", _TEXT),
        ("event_source", _TEXT),
        ("event_type", _TEXT),
        ("shop", _TEXT),
        ("subject", _TEXT),
        ("computed", _TEXT),
        ("served", _TEXT),
        ("outcome", _TEXT),
        ("time", _INTEGER),
        ("tau", _INTEGER),
        ("expires", _INTEGER),
        ("amount", _INTEGER),
        ("late", _INTEGER),
        ("score", _REAL),
        search=True,
    )
    _index("verdicts", "time+id", "served+time", "event_id", "subject")
    _create(
        "users",
        ("role", _TEXT),
        ("created", _INTEGER),
    )
    _create(
        "sessions",
        ("user", _TEXT),
        ("created", _INTEGER),
        ("expires", _INTEGER),
    )
    _index("sessions", "user", "expires")
    _create(
        "api_keys",
        ("name", _TEXT),
        ("shop", _TEXT),
        ("created", _INTEGER),
        ("revoked", _INTEGER),
    )
    _create(
        "dead_letters",
        ("shop", _TEXT),
        ("door", _TEXT),
        ("code", _TEXT),
        ("state", _TEXT),
        ("event_id", _TEXT),
        ("event_type", _TEXT),
        ("received", _INTEGER),
        search=True,
    )
    _index("dead_letters", "received+id", "state+received")
    _create(
        "limits",
        ("kind", _TEXT),
        ("key", _TEXT),
        ("word", _TEXT),
        ("changed", _INTEGER),
        versioned=True,
    )
    _create(
        "switches",
        ("word", _TEXT),
        ("changed", _INTEGER),
    )
    _create(
        "rules",
        ("mode", _TEXT),
        ("changed", _INTEGER),
        versioned=True,
    )
    _create(
        "playbooks",
        ("changed", _INTEGER),
        versioned=True,
    )
    _create(
        "list_entries",
        ("name", _TEXT),
        ("value", _TEXT),
        ("expires", _INTEGER),
        ("changed", _INTEGER),
        search=True,
    )
    _index("list_entries", "name", "expires")
    _create(
        "models",
        ("desk", _TEXT),
        ("digest", _TEXT),
        ("stage", _TEXT),
        ("created", _INTEGER),
        ("changed", _INTEGER),
    )
    _index("models", "desk+stage", "digest")
    _create(
        "audits",
        ("who", _TEXT),
        ("what", _TEXT),
        ("target", _TEXT),
        ("time", _INTEGER),
        search=True,
    )
    _index("audits", "time")
    _create(
        "subject_keys",
        ("created", _INTEGER),
        ("shredded", _INTEGER),
    )
    _create(
        "campaigns",
        ("shop", _TEXT),
        ("name", _TEXT),
        ("start", _INTEGER),
        ("end", _INTEGER),
    )
