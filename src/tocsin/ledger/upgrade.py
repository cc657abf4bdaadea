"""Brings the schema of the control state up to date at start, with the migrations that lie in this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0003"
"""Revision of the newest migration; a test holds it to what the folder says."""


def upgrade(connection: Connection) -> None:
    """Run what is missing, in the caller's transaction; Misconfigured where the database is newer than this version."""
    found = ""
    if inspect(connection).has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""
    if found == HEAD:
        return
    if found > HEAD:
        raise Misconfigured(
            f"records: the database has schema {found}, this version knows {HEAD}; start the version that wrote it"
        )
    # Imported only when there is something to do: it takes a fifth of a second, and every start would pay it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "tocsin.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
