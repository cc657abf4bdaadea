"""Identities by the page: the clear keys behind pseudonyms of the wide lane."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "identity_pages",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("shop", sa.String(), nullable=True),
        sa.Column("entity", sa.String(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_index("ix_identity_pages_shop_entity", "identity_pages", ["shop", "entity"])
