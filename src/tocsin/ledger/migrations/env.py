"""Runs the migrations in the transaction that ``tocsin.ledger.upgrade`` hands in."""

from __future__ import annotations

from alembic import context

from tocsin.ledger.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
