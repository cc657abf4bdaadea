"""Verdict, Reason and Signal: what is thought of one event, and of one subject."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tocsin.core.events import MINUTE, derived_id


class Text(msgspec.Struct, frozen=True):
    """User-visible text in both languages; ``{name}`` places are filled from evidence."""

    en: str
    zh: str

    def filled(self, values: dict[str, Any]) -> Text:
        """Return the text with its ``{name}`` places filled; an unknown place stays as it is."""

        class Keep(dict[str, Any]):
            def __missing__(self, key: str) -> str:
                return "{" + key + "}"

        return Text(self.en.format_map(Keep(values)), self.zh.format_map(Keep(values)))


class Decision(StrEnum):
    """The immediate answer for one event, from mild to strict."""

    ALLOW = "allow"
    CHALLENGE = "challenge"
    HOLD = "hold"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """0 for allow to 3 for deny; of several answers the strictest one wins."""
        return list(Decision).index(self)


class Mode(StrEnum):
    """How far a rule, model or desk may go: off, computed and recorded only, or served."""

    OFF = "off"
    SHADOW = "shadow"
    LIVE = "live"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why: a stable code, a text that can be read out to the customer, and the numbers behind it.

    ``contribution`` is the additive part of the raw score (log-odds) that ``feature`` with ``value`` brought.
    """

    code: str
    text: Text
    feature: str = ""
    value: float | str | None = None
    contribution: float | None = None
    rule: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The answer for one event, as computed and as served; journaled with the features it was made from.

    ``score`` is the calibrated probability of harm in [0, 1], or None where no model scored the event.
    ``served`` differs from ``computed`` in shadow mode and when the deadline was missed (``late``).
    """

    id: str
    event_id: str
    event_source: str
    event_type: str
    shop: str
    subject: str
    time: int
    tau: int
    computed: Decision
    served: Decision
    score: float | None = None
    reasons: tuple[Reason, ...] = ()
    expires: int = 0
    late: bool = False
    degraded: str = ""
    """Why the configured fall-back was served instead of a computed answer; empty when none was."""
    model: str = ""
    features: dict[str, float | None] = {}
    amount: int | None = None
    currency: str = ""
    outcome: str = ""
    """How a hold or challenge ended: ``released``, ``confirmed``, ``passed``, ``failed``, ``expired``; empty before."""


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a desk thinks is wrong with a subject.

    ``score`` in [0, 1]; ``onset`` is when it began, ``tau`` when it was noticed; ``loss_per_minute`` in minor
    units of ``currency``; ``evidence`` holds plain JSON values for people and for CEL conditions.
    """

    id: str
    desk: str
    kind: str
    shop: str
    subject: str
    score: float
    onset: int
    tau: int
    entities: dict[str, str] = {}
    evidence: dict[str, Any] = {}
    reasons: tuple[Reason, ...] = ()
    loss_per_minute: int = 0
    currency: str = ""
    series: str = ""
    """The series (``name`` or ``name/key``) that shows it, for the chart and for verification."""


ONSET_BUCKET = 5 * MINUTE


def signal_id(desk: str, kind: str, shop: str, subject: str, onset: int) -> str:
    """Return the identity of a signal: desk, kind, shop, subject and onset bucket, never a float."""
    return derived_id("signal", desk, kind, shop, subject, onset // ONSET_BUCKET)
