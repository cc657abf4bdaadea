"""The few additive contributions that explain a score."""

from __future__ import annotations

import numpy as np


def strongest(contributions: np.ndarray, groups: np.ndarray, most: int = 3, share: float = 0.1) -> list[int]:
    """Return the groups that raised one row's score most, strongest first.

    Parameters
    ----------
    contributions
        float64 [k]: what each feature brought to the raw score (without the base).
    groups
        int [k]: which statement to a person each feature belongs to; contributions of a group are added.
    most
        At most so many groups.
    share
        A group counts only from this share of all that raised the score on, in [0, 1].

    >>> strongest(np.array([2.0, 1.0, -0.5, 0.05]), np.array([0, 1, 2, 0]), most=2)
    [0, 1]
    """
    if not len(contributions):
        return []
    totals = np.bincount(groups, weights=contributions)
    raised = totals[totals > 0].sum()
    order = np.argsort(-totals, kind="stable")[:most]
    return [int(group) for group in order if totals[group] > 0 and totals[group] >= share * raised]
