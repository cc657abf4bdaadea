"""Linear and logistic regression on skewed, partly missing features, with exact additive attributions.

A feature enters as z = (s(x) - mean) / scale with s(x) = sign(x) ln(1 + |x|), so that counts and money of any size
stay near each other; a missing value enters as z = 0 and so brings nothing.
"""

from __future__ import annotations

import msgspec
import numpy as np

KINDS = ("linear", "logistic")
REACH = 8.0
"""z is kept inside [-REACH, REACH]: one absurd value must not decide alone."""


class Linear(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted model over k features: raw(x) = intercept + sum_j weight_j z_j.

    The raw score is in log-odds for ``logistic`` and in the units of y for ``linear``.
    """

    kind: str
    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        """Refuse parameters that do not belong together."""
        numbers = np.array([*self.weights, *self.means, *self.scales, self.intercept], float)
        if self.kind not in KINDS or not np.all(np.isfinite(numbers)) or min(self.scales, default=1.0) <= 0:
            raise ValueError("a linear model needs a known kind and finite parameters with positive scales")
        if not len(self.weights) == len(self.means) == len(self.scales):
            raise ValueError("a linear model needs one weight, mean and scale per feature")

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Return the raw scores [n] of rows [n, k], NaN where a value is missing."""
        parts = self.contributions(x)
        # Column by column: a sum along the row would round by the batch's shape, and a row's score be not its own.
        total = parts[:, -1].copy()
        for column in parts[:, :-1].T:
            total += column
        return total

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Return [n, k + 1]: what each feature brings, then the base; a row sums to its raw score."""
        z = standardised(x, np.array(self.means), np.array(self.scales))
        base = np.full((len(z), 1), self.intercept)
        return np.hstack([z * np.array(self.weights), base])


def compressed(x: np.ndarray) -> np.ndarray:
    """Return sign(x) ln(1 + |x|), NaN where missing or not finite.

    >>> compressed(np.array([0.0, -1.0, np.inf])).round(4).tolist()
    [0.0, -0.6931, nan]
    """
    x = np.where(np.isfinite(x), x, np.nan)
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))


def standardised(x: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return z [n, k] inside [-REACH, REACH], 0 where missing."""
    z = (compressed(np.atleast_2d(np.asarray(x, float))) - means) / scales
    return np.clip(np.where(np.isnan(z), 0.0, z), -REACH, REACH)


def fit(kind: str, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, *, penalty: float = 1.0) -> Linear:
    """Return the model of that kind on rows [n, k], ridge-penalised by ``penalty``; ValueError without both classes."""
    y = np.asarray(y, bool)
    if y.all() or not y.any():
        raise ValueError("a model needs rows of both classes")
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, float)
    values = compressed(np.asarray(x, float))
    present = ~np.isnan(values)
    mass = np.where(present, weight[:, None], 0.0)
    total = np.maximum(mass.sum(axis=0), 1e-12)
    filled = np.where(present, values, 0.0)
    means = (mass * filled).sum(axis=0) / total
    spread = np.sqrt((mass * (filled - means) ** 2).sum(axis=0) / total)
    scales = np.where(spread > 1e-9, spread, 1.0)
    z = standardised(x, means, scales)
    # Imported only to learn: it takes a second, and every start would pay it.
    from sklearn.linear_model import LogisticRegression, Ridge

    if kind == "logistic":
        learner = LogisticRegression(C=1.0 / penalty, solver="newton-cholesky", max_iter=100, tol=1e-6)
        learner.fit(z, y, sample_weight=weight)
        weights, intercept = learner.coef_[0], learner.intercept_[0]
    elif kind == "linear":
        learner = Ridge(alpha=penalty)
        learner.fit(z, y.astype(float), sample_weight=weight)
        weights, intercept = learner.coef_, learner.intercept_
    else:
        raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    return Linear(
        kind=kind,
        weights=tuple(map(float, weights)),
        means=tuple(map(float, means)),
        scales=tuple(map(float, scales)),
        intercept=float(intercept),
    )
