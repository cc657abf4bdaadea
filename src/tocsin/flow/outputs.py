"""What a step of the fold gives back."""

from __future__ import annotations

import msgspec
import numpy as np

from tocsin.core.desk import Bucket
from tocsin.core.signal import Decision, Reason, Signal


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer for one event of the step: ``index`` is its place in the batch.

    ``computed`` is the strictest decision of what is live, ``shadow`` the strictest of live and shadow together: what
    would have been answered if everything were live. ``reasons`` belong to ``computed``, or, where that is allow, to
    ``shadow``; ``rules`` are the ids of all rules that fired, live ones first. ``features`` are those of ``desk``, the
    desk that gave the highest score, or, where none scored, the one whose decision is strictest.
    """

    index: int
    score: float | None
    computed: Decision
    shadow: Decision
    reasons: tuple[Reason, ...] = ()
    rules: tuple[str, ...] = ()
    features: dict[str, float | None] = {}
    model: str = ""
    desk: str = ""
    ttl_s: int = 900


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a bulk step that a desk scored and nobody objected to, as columns.

    ``index`` int64 [n], places in the batch; ``scores`` float64 [n]; ``features`` float64 [n, k], NaN missing, of the
    windows ``names`` [k].
    """

    desk: str
    model: str
    index: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...]
    features: np.ndarray


class Fault(msgspec.Struct, frozen=True):
    """A desk that raised, with the text of its error; it is left out from then on. Or a configuration event that
    could not be used (desk is then the part that refused it: ``rules``, ``model``, ...).
    """

    desk: str
    error: str


class Folded(msgspec.Struct, kw_only=True):
    """One step's results: rows and buckets in their order, signals (each id once) in the order of their cause."""

    rows: list[Row] = []
    signals: list[Signal] = []
    buckets: list[Bucket] = []
    scored: list[Scored] = []
    misses: int = 0
    faults: list[Fault] = []
