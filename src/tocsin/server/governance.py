"""Governance: the shapes of people, keys, automation, rules, playbooks and lists, as the API takes and gives them."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from tocsin.core.action import Unit
from tocsin.core.desk import Rule, Window
from tocsin.core.playbook import Automation, Playbook
from tocsin.core.records import Audit, ListEntry, Role
from tocsin.core.signal import Mode, Text
from tocsin.server.shapes import Shape, Wish

# People ------------------------------------------------------------------------------------------------------------


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


class UserPage(Shape, frozen=True):
    """All people."""

    items: tuple[UserView, ...]


class KeyPage(Shape, frozen=True):
    """All API keys."""

    items: tuple[KeyView, ...]


class AuditPage(Shape, frozen=True):
    """Who did what, newest first."""

    items: tuple[Audit, ...]
    next: str


# Automation --------------------------------------------------------------------------------------------------------


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
    clear: bool = False
    """Whether the key is as the shop knows it; people and their things are then kept by pseudonym."""


# Rules, playbooks, lists -------------------------------------------------------------------------------------------


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


class WindowView(Shape, frozen=True):
    """A window that people have declared; not ``warm``: its value is missing until it has caught up with the past."""

    window: Window
    warm: bool


class WindowPage(Shape, frozen=True):
    """All declared windows; while some catch up, ``read`` of ``until`` journal positions have been read."""

    items: tuple[WindowView, ...]
    read: int
    until: int


class CheckWish(Wish, frozen=True):
    """An expression to check."""

    when: Annotated[str, Meta(max_length=10_000)]
    desk: str = ""
    on: tuple[str, ...] = ()


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
    entity: str = ""
    """``account``, ``card``, ...: the value is its key as the shop knows it, kept as events hold it."""
    expires: int = 0
    note: Annotated[str, Meta(max_length=500)] = ""


class ListPage(Shape, frozen=True):
    """Values of named lists."""

    items: tuple[ListEntry, ...]
    next: str
