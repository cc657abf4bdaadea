"""Audit: what people and machines did over the web goes on the ledger's chained trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.ledger.audit import AuditTrail

if TYPE_CHECKING:
    from tocsin.core.ports import Records
    from tocsin.core.records import Audit


def note(records: Records, now: int, who: str, what: str, target: str = "", **detail: Any) -> Audit:
    """Record that ``who`` did ``what`` to ``target`` at ``now``; durable on return, or with the running transaction."""
    return AuditTrail(records, now=lambda: now).note(who, what, target, detail)
