"""Did it help? The level of the series that an action named, before and after it. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tocsin.core.action import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_CHANGE = 0.2
"""A change of the level by less than this share counts as none."""
SIGMAS = 2.0
VISIBLE = 0.5
"""Where the noise would hide even a change of this share, nothing can be said."""


def judge_effect(before: Sequence[float], after: Sequence[float], direction: str) -> tuple[Effect, float, float]:
    """Return (effect, level before, level after) of a series around an action.

    Parameters
    ----------
    before, after
        Values of closed buckets before the action was done and since then, oldest first; missing ones left out.
    direction
        Where the action should move it: ``down`` or ``up``.

    A change counts when it is at least a fifth of the level before and more than two standard errors of the
    difference. Less than one bucket on either side is unknown, and so is a series so noisy that even a halving would
    not show: an answer must not be taken back for want of data. Levels are means, nan where unknown.

    >>> judge_effect([9, 10, 11], [2, 1, 1], "down")[0].value, judge_effect([9, 10, 11], [10, 11, 9], "down")[0].value
    ('helped', 'no_difference')
    >>> judge_effect([0, 1, 0, 0], [0, 0, 0.5, 0], "down")[0].value
    'unknown'
    >>> judge_effect([1, 1, 1], [5, 6, 5], "down")[0].value, judge_effect([], [1], "down")[0].value
    ('hurt', 'unknown')
    """
    if not before or not after:
        return Effect.UNKNOWN, _mean(before), _mean(after)
    low, high = _mean(before), _mean(after)
    change = high - low
    error = math.sqrt(_variance(before) / len(before) + _variance(after) / len(after))
    moved = abs(change) >= LEAST_CHANGE * max(abs(low), 1e-12) and abs(change) > SIGMAS * error
    if not moved:
        hidden = SIGMAS * error > VISIBLE * abs(low)
        return (Effect.UNKNOWN if hidden else Effect.NO_DIFFERENCE), low, high
    return (Effect.HELPED if (change < 0) == (direction == "down") else Effect.HURT), low, high


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
