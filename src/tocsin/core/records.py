"""Control records beside incidents, actions, rulings, outcomes and verdicts: people, keys, limits, rules, letters.

Every record has a string ``id``. These are what ``Records.table`` stores; the store knows which fields it indexes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Role(StrEnum):
    """What a person or key may do: look; act on incidents; change settings and people."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 viewer, 1 responder, 2 admin."""
        return list(Role).index(self)


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person; ``id`` is the sign-in name, ``password`` a salted scrypt hash."""

    id: str
    role: Role
    password: str
    must_change: bool = False
    language: str = ""
    created: int = 0
    failures: int = 0
    """Failed sign-ins since the last success; from 5 on each locks the name for a growing time."""
    locked_until: int = 0


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signed-in browser; ``id`` is the SHA-256 of the cookie's token, ``csrf`` the token that writes must carry."""

    id: str
    user: str
    csrf: str
    created: int
    expires: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine's key; ``id`` is the SHA-256 of the token. ``scopes``: ``events``, ``verdicts``, ``read``, ``act``."""

    id: str
    name: str
    shop: str
    scopes: tuple[str, ...]
    created: int
    revoked: int = 0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refused event with the reason; ``document`` is the event as it came, sealed and pseudonym values removed."""

    id: str
    received: int
    shop: str
    door: str
    code: str
    field: str
    reason: str
    document: str
    event_id: str = ""
    event_type: str = ""
    state: str = "waiting"
    """``waiting``, ``accepted`` (driven again with success) or ``discarded``."""


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the guard: a budget per verb, a mode of a playbook or verb, a protected subject.

    ``kind`` is ``budget`` (``key`` a verb, ``number`` units per ``per_s``), ``automation`` (``key`` ``playbook:NAME``
    or ``verb:NAME``, ``word`` suggest/approve/auto), ``protected`` (``key`` a subject; acted on by a person only).
    """

    id: str
    kind: str
    key: str
    number: int = 0
    per_s: int = 3600
    word: str = ""
    by: str = ""
    changed: int = 0
    version: int = 1


class Switch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named word that the house reads: ``kill`` (``on``/``off``), ``verdict_mode``, ``cursor:responder``, ..."""

    id: str
    word: str = ""
    number: int = 0
    by: str = ""
    reason: str = ""
    changed: int = 0


class StoredRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule as people edit it; ``body`` is a ``core.desk.Rule`` as plain JSON."""

    id: str
    body: dict[str, Any]
    mode: str
    by: str = ""
    changed: int = 0
    version: int = 1


class StoredPlaybook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A playbook as people edit it; ``body`` is a ``core.playbook.Playbook`` as plain JSON."""

    id: str
    body: dict[str, Any]
    by: str = ""
    changed: int = 0
    version: int = 1


class ListEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value of a named list that rules read; ``expires`` 0 is for ever. ``id`` is ``name/value``."""

    id: str
    name: str
    value: str
    expires: int = 0
    note: str = ""
    by: str = ""
    changed: int = 0


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A learned model of a desk; the bytes lie beside in the model store under ``digest`` (SHA-256)."""

    id: str
    desk: str
    digest: str
    card: dict[str, Any]
    stage: str
    """``candidate``, ``shadow``, ``live`` or ``retired``."""
    created: int
    changed: int = 0
    by: str = ""


class Audit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did what to what, when, from where; ``id`` ascends with time. ``link`` chains each to the one before."""

    id: str
    time: int
    who: str
    what: str
    target: str = ""
    detail: dict[str, Any] = {}
    link: str = ""


class SubjectKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subject's own key, wrapped by the installation's master key; and the subject's clear identity sealed with it.

    ``id`` is ``shop/entity:pseudonym``. A shredded row keeps its id with both fields empty, so that it is known.
    """

    id: str
    wrapped: str = ""
    identity: str = ""
    created: int = 0
    shredded: int = 0


class IdentityPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Clear keys of many subjects of one entity, sealed together under the installation's master key."""

    id: str
    shop: str
    entity: str
    count: int = 0
    created: int = 0
    sealed: bytes = b""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: name and role; built from a session or an API key, never stored."""

    name: str
    role: Role
    shop: str = ""
