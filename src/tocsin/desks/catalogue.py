"""The list of desks: a new desk is one module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.desks.attack import AttackDesk
from tocsin.desks.fraud import shipped
from tocsin.desks.health import HealthDesk

if TYPE_CHECKING:
    from tocsin.core.desk import Desk


def catalogue() -> tuple[Desk, ...]:
    """Return every desk, each with the model that comes with Tocsin where it has one."""
    return (shipped(), AttackDesk(), HealthDesk())
