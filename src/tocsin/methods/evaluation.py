"""How good a score is: ranking, probability and money, each with the number that chance would reach.

Throughout ``y`` is bool [n] (True: harm), ``score`` and ``p`` float [n], higher is worse, ``p`` a probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

FloatArray = np.ndarray
EPSILON = 1e-15


def mean_squared_error(y: np.ndarray, p: FloatArray) -> float:
    """Return the Brier score, mean (p - y)^2, in [0, 1].

    >>> mean_squared_error(np.array([True, False]), np.array([0.5, 0.1]))
    0.13
    """
    return float(np.mean((np.asarray(p, float) - np.asarray(y, float)) ** 2))


def log_likelihood(y: np.ndarray, p: FloatArray) -> float:
    """Return the mean log-likelihood in nats, at most 0; p is kept inside [1e-15, 1 - 1e-15].

    >>> round(log_likelihood(np.array([True, False]), np.array([0.5, 0.5])), 4)
    -0.6931
    """
    p = np.clip(np.asarray(p, float), EPSILON, 1 - EPSILON)
    return float(np.mean(np.where(y, np.log(p), np.log1p(-p))))


def roc_auc(y: np.ndarray, score: FloatArray) -> float:
    """Return the probability that a harmful row outranks a harmless one, ties counted half; NaN with one class only.

    Mann-Whitney U over mid-ranks, O(n log n). Chance is 0.5.

    >>> roc_auc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    y = np.asarray(y, bool)
    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(np.asarray(score, float), return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return float((middle[inverse][y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(y: np.ndarray, score: FloatArray) -> float:
    """Return the sum over thresholds of (recall step) x precision; NaN without a positive.

    Chance is the share of positives. Tied scores are one threshold.

    >>> round(average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7])), 4)
    0.8333
    """
    hits, rows = _ladder(y, score)
    if not len(hits) or not hits[-1]:
        return float("nan")
    steps = np.diff(np.concatenate([[0], hits]))
    return float(np.sum(steps * hits / rows) / hits[-1])


def recall_at_fpr(y: np.ndarray, score: FloatArray, rate: float = 0.01) -> float:
    """Return the largest recall whose false-positive rate is at most ``rate``; chance is ``rate``.

    >>> recall_at_fpr(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]), rate=0.01)
    0.5
    """
    hits, rows = _ladder(y, score)
    negatives = len(np.asarray(y)) - int(np.sum(y))
    if not len(hits) or not hits[-1] or not negatives:
        return float("nan")
    allowed = (rows - hits) <= rate * negatives
    return float(hits[allowed].max() / hits[-1]) if allowed.any() else 0.0


def _ladder(y: np.ndarray, score: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """Return (positives, rows) at or above each distinct score, highest first."""
    y = np.asarray(y, bool)
    score = np.asarray(score, float)
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.empty(0, int)
    return np.cumsum(y[order])[last], last + 1


def card_precision(day: np.ndarray, card: np.ndarray, y: np.ndarray, score: FloatArray, k: int = 100) -> float:
    """Return card precision@k: what a team that checks k cards a day finds, mean over days.

    Each day the cards are ranked by their highest score, the first ``k`` are checked, and the share of them with harm
    that day counts; a card caught earlier is not in the list again. Ties go to the card whose payment came first.
    (Fraud Detection Handbook, chapter 4.)

    >>> day = np.array([0, 0, 0, 1, 1])
    >>> card = np.array([7, 8, 9, 7, 8])
    >>> y = np.array([True, False, False, True, True])
    >>> card_precision(day, card, y, np.array([0.9, 0.8, 0.1, 0.9, 0.2]), k=1)  # 7 is caught, so day 1 lists 8
    1.0
    """
    caught: set[object] = set()
    shares = []
    for today in np.unique(day):
        best: dict[object, float] = {}
        harmed: set[object] = set()
        for row in np.flatnonzero(day == today):
            key = card[row]
            if key in caught:
                continue
            best[key] = max(best.get(key, -np.inf), float(score[row]))
            if y[row]:
                harmed.add(key)
        checked = sorted(best, key=lambda key: -best[key])[:k]
        found = [key for key in checked if key in harmed]
        caught.update(found)
        shares.append(len(found) / k)
    return float(np.mean(shares)) if shares else float("nan")


def forward_folds(time: np.ndarray, folds: int, gap: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (train rows, test rows) of forward-chaining validation: each test slice comes after its training rows.

    The rows are cut by time into ``folds + 1`` slices of about equal size; slice i is tested by a model of the rows
    before it that are more than ``gap`` older than its first row (labels that would not have been known are left out).
    Equal times are never split. ``time`` need not be sorted.

    >>> [(a.tolist(), b.tolist()) for a, b in forward_folds(np.arange(6), 2)]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """
    time = np.asarray(time)
    order = np.sort(time, kind="stable")
    cuts = [order[len(order) * part // (folds + 1)] for part in range(1, folds + 1)]
    ends = [*cuts[1:], None]
    for start, end in zip(cuts, ends, strict=True):
        train = np.flatnonzero(time < start - gap)
        test = np.flatnonzero((time >= start) & (time < end if end is not None else True))
        if len(train) and len(test):
            yield train, test
