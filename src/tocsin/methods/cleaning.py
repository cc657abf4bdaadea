"""Cleaning of one numeric column: missing values, outliers, scale; chosen and fitted on training rows alone.

``fit`` looks at training rows, ``apply`` at any rows; what ``apply`` does depends on the fitted numbers only, so
held-out rows can never reach into a fit. Missing values are NaN. Positions are the rows' places on an axis (time, or
row number).

References: Hampel identifier, L. Davies and U. Gather, "The identification of multiple outliers", JASA 88 (1993);
1.4826 makes the median absolute deviation consistent with a normal distribution's standard deviation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAD_SCALE = 1.4826
HAMPEL_K = 3.0
CLIP_QUANTILES = (0.005, 0.995)
DROP_SHARE = 0.01
"""At most this share of training rows may be dropped for missing values."""
_TRIALS = 2000


class Fill(StrEnum):
    """What is put where a value is missing."""

    NONE = "none"
    """Nothing is missing."""
    DROP = "drop"
    """Training rows without the value are left out; a row to be scored takes the median."""
    MEAN = "mean"
    MEDIAN = "median"
    INTERPOLATE = "interpolate"
    """Linear between the training values on both sides of the row's position."""
    FORWARD = "forward"
    """The last training value at or before the row's position."""


class Filter(StrEnum):
    """What is done with outliers."""

    NONE = "none"
    HAMPEL = "hampel"
    """Beyond median +- 3 MAD: becomes the median."""
    CLIP = "clip"
    """Beyond the 0.5 % and 99.5 % quantiles: becomes the quantile."""


class Scale(StrEnum):
    """How the values are brought to one size."""

    MINMAX = "min-max"
    STANDARD = "standard"
    ROBUST = "robust"
    """(x - median) / interquartile range."""


class Cleaner(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted cleaning of one column: the three choices with their numbers, and what they did in training."""

    fill: Fill
    filter: Filter
    scale: Scale
    value: float
    """What fills a missing value that has no neighbours."""
    low: float
    high: float
    centre: float
    """What an outlier becomes under HAMPEL."""
    shift: float
    width: float
    positions: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    missing: int = 0
    outliers: int = 0

    def filled(self, x: Floats, at: Floats) -> Floats:
        """Return the column without missing values."""
        gaps = np.isnan(x)
        if not gaps.any():
            return x
        out = x.copy()
        if self.fill is Fill.INTERPOLATE and self.positions:
            out[gaps] = np.interp(at[gaps], self.positions, self.values)
        elif self.fill is Fill.FORWARD and self.positions:
            before = np.searchsorted(np.array(self.positions), at[gaps], side="right") - 1
            out[gaps] = np.where(before >= 0, np.array(self.values)[np.maximum(before, 0)], self.value)
        else:
            out[gaps] = self.value
        return out

    def filtered(self, x: Floats) -> Floats:
        """Return the column without outliers."""
        if self.filter is Filter.NONE:
            return x
        if self.filter is Filter.CLIP:
            return np.clip(x, self.low, self.high)
        return np.where((x < self.low) | (x > self.high), self.centre, x)

    def apply(self, x: Floats, at: Floats) -> Floats:
        """Return the column filled, filtered and scaled; float64 [n] without NaN."""
        return (self.filtered(self.filled(x, at)) - self.shift) / self.width


def fit(
    x: Floats, at: Floats, y: Floats | None = None, *, ordered: bool = False, may_drop: bool = True, seed: int = 0
) -> Cleaner:
    """Return the cleaner of a column, chosen and fitted on these rows.

    Parameters
    ----------
    x, at
        Values (NaN missing) and positions, float64 [n].
    y
        0/1 labels; with them an outlier filter is kept only where it makes the column tell more about the label.
    ordered
        Whether neighbours on the axis mean anything: only then interpolation and forward fill are tried.
    may_drop
        Whether training rows may be left out at all.

    The fill is the one that restores hidden values with the least mean absolute error; the filter is the one with the
    best two-fold log-likelihood of a univariate logistic fit; the scale follows the shape: robust where more than 1 %
    lie beyond the Hampel bounds, min-max where the values have two levels or a unit range, else standard.
    """
    present = x[~np.isnan(x)]
    missing = len(x) - len(present)
    if not len(present):
        return _empty(missing)
    median = float(np.median(present))
    low, high = hampel_bounds(present)
    outliers = int(((present < low) | (present > high)).sum())
    fill = _choose_fill(x, at, ordered=ordered, may_drop=may_drop, seed=seed) if missing else Fill.NONE
    knots = _knots(x, at) if fill in (Fill.INTERPOLATE, Fill.FORWARD) else ((), ())
    value = float(present.mean()) if fill is Fill.MEAN else median
    draft = Cleaner(
        fill=fill,
        filter=Filter.NONE,
        scale=Scale.STANDARD,
        value=value,
        low=low,
        high=high,
        centre=median,
        shift=0.0,
        width=1.0,
        positions=knots[0],
        values=knots[1],
        missing=missing,
        outliers=outliers,
    )
    full = draft.filled(x, at)
    draft = _choose_filter(draft, full, y)
    return _scaled(draft, draft.filtered(full), outliers / len(present))


def hampel_bounds(x: Floats) -> tuple[float, float]:
    """Return median -+ 3 scaled MAD; without bounds (-inf, inf) where more than half the values are equal.

    >>> [round(float(bound), 3) for bound in hampel_bounds(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))]
    [-1.448, 7.448]
    """
    median = float(np.median(x))
    spread = MAD_SCALE * float(np.median(np.abs(x - median)))
    if spread == 0.0:
        return -np.inf, np.inf
    return median - HAMPEL_K * spread, median + HAMPEL_K * spread


def _empty(missing: int) -> Cleaner:
    return Cleaner(
        fill=Fill.MEDIAN,
        filter=Filter.NONE,
        scale=Scale.STANDARD,
        value=0.0,
        low=0.0,
        high=0.0,
        centre=0.0,
        shift=0.0,
        width=1.0,
        missing=missing,
    )


def _knots(x: Floats, at: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return positions and values of the present rows in order; of equal positions the last row counts."""
    present = ~np.isnan(x)
    order = np.argsort(at[present], kind="stable")
    places, values = at[present][order], x[present][order]
    last = np.append(places[1:] != places[:-1], True)
    return tuple(places[last].tolist()), tuple(values[last].tolist())


def _choose_fill(x: Floats, at: Floats, *, ordered: bool, may_drop: bool, seed: int) -> Fill:
    gaps = np.isnan(x)
    if may_drop and gaps.mean() <= DROP_SHARE and (~gaps).sum() >= 100:
        return Fill.DROP
    places = np.flatnonzero(~gaps)
    if len(places) < 10:
        return Fill.MEDIAN
    hidden = np.random.default_rng(seed).choice(places, size=min(_TRIALS, len(places) // 5), replace=False)
    rest = x.copy()
    rest[hidden] = np.nan
    truth = x[hidden]
    seen = rest[~np.isnan(rest)]
    errors = {
        Fill.MEDIAN: float(np.abs(truth - np.median(seen)).mean()),
        Fill.MEAN: float(np.abs(truth - seen.mean()).mean()),
    }
    if ordered:
        positions, values = _knots(rest, at)
        before = np.searchsorted(np.array(positions), at[hidden], side="right") - 1
        last = np.where(before >= 0, np.array(values)[np.maximum(before, 0)], np.median(seen))
        errors[Fill.INTERPOLATE] = float(np.abs(truth - np.interp(at[hidden], positions, values)).mean())
        errors[Fill.FORWARD] = float(np.abs(truth - last).mean())
    # A neighbour must beat the median clearly: on shuffled rows it wins by luck only.
    best = min(errors, key=lambda fill: errors[fill] * (1.0 if fill in (Fill.MEDIAN, Fill.MEAN) else 1.05))
    return best


def _choose_filter(draft: Cleaner, full: Floats, y: Floats | None) -> Cleaner:
    """Return the cleaner with the outlier filter under which the column tells most about the label."""
    low, high = (float(bound) for bound in np.quantile(full, CLIP_QUANTILES))
    clip = msgspec.structs.replace(draft, filter=Filter.CLIP, low=low, high=high)
    if draft.outliers == 0 or low == high:
        return draft
    if y is None or not 0 < y.sum() < len(y):
        return clip
    hampel = msgspec.structs.replace(draft, filter=Filter.HAMPEL)
    scores = [(_log_likelihood(one.filtered(full), y), one) for one in (draft, clip, hampel)]
    best = scores[0]
    for other in scores[1:]:
        if other[0] > best[0] + 1e-4:
            best = other
    return best[1]


def _log_likelihood(x: Floats, y: Floats) -> float:
    """Return the mean held-out log-likelihood of a univariate logistic fit, even rows against odd ones."""
    total = 0.0
    for half in (0, 1):
        train = np.arange(len(x)) % 2 == half
        if not 0 < y[train].sum() < train.sum():
            return -np.inf
        mean, spread = float(x[train].mean()), float(x[train].std()) or 1.0
        weights = _newton((x[train] - mean) / spread, y[train])
        z = weights[0] + weights[1] * (x[~train] - mean) / spread
        total += float((y[~train] * z - np.logaddexp(0.0, z)).sum())
    return total / len(x)


def _newton(z: Floats, y: Floats) -> Floats:
    """Return (intercept, slope) of a logistic fit with a ridge of 1 on the slope, by at most 12 Newton steps."""
    design = np.stack([np.ones_like(z), z], axis=1)
    rate = min(max(float(y.mean()), 1e-6), 1 - 1e-6)
    weights = np.array([np.log(rate / (1 - rate)), 0.0])
    for _ in range(12):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (y - p) - np.array([0.0, weights[1]])
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag([1e-6, 1.0])
        step = np.linalg.solve(curvature, gradient)
        weights = weights + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _scaled(draft: Cleaner, x: Floats, outlying: float) -> Cleaner:
    levels = np.unique(x[: min(len(x), 10_000)])
    if len(levels) <= 2 or (x.min() >= 0.0 and 0.0 < x.max() <= 1.0):
        scale, shift, width = Scale.MINMAX, float(x.min()), float(x.max() - x.min())
    elif outlying > 0.01:
        lower, middle, upper = (float(q) for q in np.quantile(x, (0.25, 0.5, 0.75)))
        scale, shift, width = Scale.ROBUST, middle, upper - lower
    else:
        scale, shift, width = Scale.STANDARD, float(x.mean()), float(x.std())
    if width == 0.0 and scale is Scale.ROBUST:
        scale, shift, width = Scale.STANDARD, float(x.mean()), float(x.std())
    return msgspec.structs.replace(draft, scale=scale, shift=shift, width=width or 1.0)
