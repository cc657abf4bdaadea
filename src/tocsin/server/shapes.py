"""Shapes: what the API takes and gives beyond the nouns themselves. Times are microseconds, money minor units."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tocsin.core.action import Action, Outcome, Ruling
from tocsin.core.incident import Incident, Phase
from tocsin.core.playbook import Automation
from tocsin.core.records import DeadLetter
from tocsin.core.signal import Decision, Mode, Reason, Signal, Text, Verdict


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes in: an unknown field is refused, so that a mistyped one is not ignored."""


# Doors for machines ------------------------------------------------------------------------------------------------


class RefusedEvent(Shape, frozen=True):
    """One event of a request that was not accepted: the others were."""

    index: int
    """Position in the request from 0; of NDJSON the line."""
    id: str
    code: str
    field: str
    detail: str


class Accepted(Shape, frozen=True):
    """What became of the events of a request; accepted ones are on disk."""

    accepted: int
    duplicates: int
    refused: tuple[RefusedEvent, ...]


class VerdictAnswer(Shape, frozen=True):
    """The immediate answer for one event. ``decision`` is what to do; ``computed`` what was thought."""

    id: str
    event: str
    decision: Decision
    computed: Decision
    score: float | None
    reasons: tuple[Reason, ...]
    expires: int
    late: bool
    degraded: str
    replayed: bool
    outcome: str


# Overview ----------------------------------------------------------------------------------------------------------


class SeriesView(Shape, frozen=True):
    """Points of one series: [start of the bucket, value or null]."""

    name: str
    key: str
    points: tuple[tuple[int, float | None], ...]
    bucket_s: int


class ModeView(Shape, frozen=True):
    """How far Tocsin may go by itself."""

    ceiling: Automation
    kill: bool
    verdict_mode: Mode


class Overview(Shape, frozen=True):
    """The state of the house in one look."""

    now: int
    shop: str
    currency: str
    demo: bool
    automation: ModeView
    rates: dict[str, float]
    money_per_minute: float
    """Paid minor units per minute of the shop's currency, last full minute."""
    open_incidents: dict[str, int]
    """By severity ``P1`` .. ``P4``, and ``total``."""
    verdicts: dict[Decision, int]
    """Served in the last hour."""
    waiting_actions: int
    """Actions that wait for a person."""
    lag_s: float
    """How old the last folded event is while others wait; 0 where none waits."""
    last_event: int
    """Its tau; 0 before the first."""
    queue: int
    refusing: str
    """Why the intake accepts nothing just now; empty when it does."""
    faults: dict[str, str]
    """What does not work (``desk:NAME``, ``playbook:NAME``, ``responder``), and why; empty when all does."""
    series: tuple[SeriesView, ...]
    counters: dict[str, int]


# Incidents and actions ---------------------------------------------------------------------------------------------


class IncidentPage(Shape, frozen=True):
    """Incidents, newest first; ``next`` is the cursor of the page after, empty at the end."""

    items: tuple[Incident, ...]
    next: str


class IncidentView(Shape, frozen=True):
    """One incident with everything that belongs to it."""

    incident: Incident
    signals: tuple[Signal, ...]
    actions: tuple[Action, ...]
    rulings: tuple[Ruling, ...]
    outcomes: tuple[Outcome, ...]
    series: SeriesView | None


class IncidentLabel(StrEnum):
    """What an incident turned out to be."""

    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"


class LabelWish(Wish, frozen=True):
    """Label an incident."""

    label: IncidentLabel
    note: Annotated[str, Meta(max_length=2000)] = ""


class PhaseWish(Wish, frozen=True):
    """Move an incident on in its life cycle."""

    phase: Phase
    note: Annotated[str, Meta(max_length=2000)] = ""


class ActionPage(Shape, frozen=True):
    """Actions, newest first."""

    items: tuple[Action, ...]
    next: str


class VerdictPage(Shape, frozen=True):
    """Verdicts, newest first."""

    items: tuple[Verdict, ...]
    next: str


# Dead letters ------------------------------------------------------------------------------------------------------


class LetterPage(Shape, frozen=True):
    """Refused events, newest first; ``waiting`` counts those that nobody has looked after."""

    items: tuple[DeadLetter, ...]
    next: str
    waiting: int


class RetryWish(Wish, frozen=True):
    """Drive a dead letter again, corrected where ``document`` is given.

    Values that were removed for privacy stand in the letter as marked place-holders; leave those as they are.
    """

    document: dict[str, Any] | None = None


# Small things ------------------------------------------------------------------------------------------------------


class SchemaEntry(Shape, frozen=True):
    """An event type of the vocabulary."""

    type: str
    meaning: Text
    version: int


class SchemaPage(Shape, frozen=True):
    """All event types."""

    items: tuple[SchemaEntry, ...]


class Done(Shape, frozen=True):
    """It was done."""

    ok: bool


class Topic(StrEnum):
    """What a notice is about."""

    INCIDENT = "incident"
    ACTION = "action"
    VERDICT = "verdict"
    OVERVIEW = "overview"
    FAULT = "fault"


class Notice(Shape, frozen=True):
    """One line of ``/v1/live``: something changed; fetch it."""

    topic: Topic
    id: str
    version: int
