"""Incident: what we are dealing with; signals that belong together, with a life cycle."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tocsin.core.signal import Text
from tocsin.errors import Conflict


class Phase(StrEnum):
    """The life cycle of an incident."""

    OPEN = "open"
    MITIGATING = "mitigating"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"

    @property
    def active(self) -> bool:
        """Whether new signals may still join it."""
        return self in (Phase.OPEN, Phase.MITIGATING, Phase.MONITORING)


NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.OPEN: frozenset({Phase.MITIGATING, Phase.MONITORING, Phase.RESOLVED, Phase.DISMISSED}),
    Phase.MITIGATING: frozenset({Phase.OPEN, Phase.MONITORING, Phase.RESOLVED, Phase.DISMISSED}),
    Phase.MONITORING: frozenset({Phase.OPEN, Phase.MITIGATING, Phase.RESOLVED, Phase.DISMISSED}),
    Phase.RESOLVED: frozenset({Phase.OPEN}),
    Phase.DISMISSED: frozenset({Phase.OPEN}),
}


class Severity(StrEnum):
    """How bad, from loss per minute and score: P1 wakes people, P4 waits for the morning."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an incident's timeline: when, what, who, and details.

    ``what`` is ``signal``, ``phase``, ``ruling``, ``outcome``, ``label`` or ``note``; ``ref`` the id of the thing.
    """

    time: int
    what: str
    ref: str = ""
    who: str = "tocsin"
    detail: dict[str, Any] = {}


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Signals that belong together. ``id`` derives from its first signal; ``version`` counts changes."""

    id: str
    shop: str
    kind: str
    title: Text
    subject: str
    severity: Severity
    phase: Phase
    onset: int
    opened: int
    updated: int
    entities: dict[str, tuple[str, ...]] = {}
    signals: tuple[str, ...] = ()
    desks: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Kinds of all its signals, in order of arrival; ``kind`` is the one that explains the others."""
    score: float = 0.0
    loss_per_minute: int = 0
    loss: int = 0
    """Estimated loss so far, minor units of ``currency``."""
    currency: str = ""
    series: str = ""
    evidence: dict[str, Any] = {}
    timeline: tuple[Moment, ...] = ()
    label: str = ""
    """``confirmed``, ``false_alarm`` or empty."""
    closed: int = 0
    version: int = 1


def advance(incident: Incident, phase: Phase, moment: Moment) -> Incident:
    """Return the incident in its next phase, the moment on its timeline; Conflict where the life cycle forbids it."""
    if phase is not incident.phase and phase not in NEXT[incident.phase]:
        raise Conflict(f"incident {incident.id} is {incident.phase}; it cannot become {phase}")
    return msgspec.structs.replace(
        incident,
        phase=phase,
        updated=max(incident.updated, moment.time),
        closed=0 if phase.active else moment.time,
        timeline=(*incident.timeline, moment),
        version=incident.version + 1,
    )
