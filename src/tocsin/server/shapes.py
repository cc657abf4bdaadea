"""Shapes: what the API takes and gives beyond the nouns themselves. Times are microseconds, money minor units."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tocsin.core.action import Action, Outcome, Ruling, Unit
from tocsin.core.desk import Rule
from tocsin.core.incident import Incident, Phase
from tocsin.core.playbook import Automation, Playbook
from tocsin.core.records import Audit, DeadLetter, ListEntry, Role
from tocsin.core.signal import Decision, Mode, Reason, Signal, Text, Verdict


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes in: an unknown field is refused, so that a mistyped one is not ignored."""


# Doors for machines --------------------------------------------------------------------------------------------


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


# People --------------------------------------------------------------------------------------------------------


class SignIn(Wish, frozen=True):
    """Name and password."""

    user: Annotated[str, Meta(min_length=1, max_length=100)]
    password: Annotated[str, Meta(max_length=1000)]


class NewPassword(Wish, frozen=True):
    """A change of one's own password."""

    old: Annotated[str, Meta(max_length=1000)]
    new: Annotated[str, Meta(max_length=1000)]


class SessionView(Shape, frozen=True):
    """Who is signed in; ``csrf`` goes into the header X-CSRF-Token of every write."""

    user: str
    role: Role
    must_change: bool
    csrf: str
    language: str
    expires: int


class UserView(Shape, frozen=True):
    """A person without the password."""

    id: str
    role: Role
    must_change: bool
    language: str
    created: int


class NewUser(Wish, frozen=True):
    """A person to add; the password is generated and shown once."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    role: Role
    language: str = ""


class Once(Shape, frozen=True):
    """A secret that is shown this one time."""

    id: str
    secret: str


class KeyView(Shape, frozen=True):
    """An API key without its token."""

    id: str
    name: str
    shop: str
    scopes: tuple[str, ...]
    created: int
    revoked: int


class Scope(StrEnum):
    """What an API key may do."""

    EVENTS = "events"
    VERDICTS = "verdicts"
    READ = "read"
    ACT = "act"


class NewKey(Wish, frozen=True):
    """An API key to make."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    shop: str = ""


# Overview ------------------------------------------------------------------------------------------------------


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
    series: tuple[SeriesView, ...]
    counters: dict[str, int]


# Incidents and actions -----------------------------------------------------------------------------------------


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


# Dead letters --------------------------------------------------------------------------------------------------


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


# Automation ----------------------------------------------------------------------------------------------------


class PlaybookView(Shape, frozen=True):
    """A playbook with how far it may go by itself."""

    name: str
    title: Text
    on: tuple[str, ...]
    automation: Automation
    version: int


class VerbView(Shape, frozen=True):
    """A verb with its budget: ``spent`` of ``limit`` units in the last ``per_s`` seconds."""

    name: str
    text: Text
    unit: Unit
    limit: int
    per_s: int
    spent: int
    reversible: bool
    ttl_s: int


class AutomationView(Shape, frozen=True):
    """Everything that limits what Tocsin may do."""

    ceiling: Automation
    kill: bool
    kill_reason: str
    verdict_mode: Mode
    playbooks: tuple[PlaybookView, ...]
    verbs: tuple[VerbView, ...]
    protected: tuple[str, ...]


class AutomationWish(Wish, frozen=True):
    """How far a playbook may go by itself."""

    automation: Automation


class BudgetWish(Wish, frozen=True):
    """A verb's budget: ``number`` units per ``per_s`` seconds."""

    number: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    per_s: Annotated[int, Meta(ge=1, le=86_400)]


class KillWish(Wish, frozen=True):
    """The kill switch: on stops every automatic action."""

    on: bool
    reason: Annotated[str, Meta(max_length=500)] = ""


class VerdictModeWish(Wish, frozen=True):
    """Whether computed verdicts are served (live) or only recorded (shadow)."""

    mode: Annotated[str, Meta(pattern="^(shadow|live)$")]


class ProtectWish(Wish, frozen=True):
    """A subject that is never acted on without a person."""

    subject: Annotated[str, Meta(pattern="^[a-z]+:.+$", max_length=1100)]
    on: bool


# Rules, playbooks, lists ---------------------------------------------------------------------------------------


class RuleView(Shape, frozen=True):
    """A rule as it runs; ``stored`` where people have changed it."""

    rule: Rule
    stored: bool
    by: str
    changed: int
    version: int


class RulePage(Shape, frozen=True):
    """All rules."""

    items: tuple[RuleView, ...]


class CheckWish(Wish, frozen=True):
    """An expression to check."""

    when: Annotated[str, Meta(max_length=10_000)]
    desk: str = ""


class CheckError(Shape, frozen=True):
    """What is wrong with an expression, and where; line and column from 1."""

    message: str
    line: int
    column: int


class CheckView(Shape, frozen=True):
    """Whether an expression would be taken."""

    ok: bool
    error: CheckError | None


class PlaybookDetail(Shape, frozen=True):
    """A playbook as it runs; ``stored`` where people have changed it."""

    playbook: Playbook
    stored: bool
    by: str
    changed: int


class ListWish(Wish, frozen=True):
    """A value of a named list that rules read; ``expires`` 0 is for ever."""

    value: Annotated[str, Meta(min_length=1, max_length=1024)]
    expires: int = 0
    note: Annotated[str, Meta(max_length=500)] = ""


class ListPage(Shape, frozen=True):
    """Values of named lists."""

    items: tuple[ListEntry, ...]
    next: str


class AuditPage(Shape, frozen=True):
    """Who did what, newest first."""

    items: tuple[Audit, ...]
    next: str


class SchemaEntry(Shape, frozen=True):
    """An event type of the vocabulary."""

    type: str
    meaning: Text
    version: int


class SchemaPage(Shape, frozen=True):
    """All event types."""

    items: tuple[SchemaEntry, ...]


class UserPage(Shape, frozen=True):
    """All people."""

    items: tuple[UserView, ...]


class KeyPage(Shape, frozen=True):
    """All API keys."""

    items: tuple[KeyView, ...]


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
