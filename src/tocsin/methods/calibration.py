"""Raw scores to probabilities: Platt, beta and isotonic calibration, each strictly monotone, chosen on held-out rows.

References: Platt (1999); Kull, Silva Filho and Flach, Beta calibration (2017), here with both slopes kept equal to or
above zero; Zadrozny and Elkan (2002) for isotonic regression, here interpolated and mixed with 1 % of Platt's curve so
that no two raw scores share a probability (ranking is never changed by calibration).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from scipy.special import expit

from tocsin.methods.evaluation import log_likelihood

BLEND = 0.01
"""Share of Platt's curve in the isotonic one."""
FLOOR = 1e-6
"""Probabilities stay inside [FLOOR, 1 - FLOOR]."""
KINDS = ("platt", "beta", "isotonic")


class Calibration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A monotone map from raw score (log-odds, any finite float) to probability.

    ``slope`` and ``offset`` are Platt's. ``beta`` is (a, b, c) of log-odds = a ln q - b ln(1 - q) + c with q Platt's
    probability. ``knots_x`` and ``knots_y`` are the isotonic steps, joined by straight lines.
    """

    kind: str
    slope: float
    offset: float
    beta: tuple[float, float, float] = (1.0, 1.0, 0.0)
    knots_x: tuple[float, ...] = ()
    knots_y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would not be monotone."""
        if self.kind not in KINDS:
            raise ValueError(f"calibration kind {self.kind!r} is none of {', '.join(KINDS)}")
        numbers = [self.slope, self.offset, *self.beta, *self.knots_x, *self.knots_y]
        if not np.all(np.isfinite(numbers)) or self.slope <= 0 or min(self.beta[:2]) < 0:
            raise ValueError("calibration parameters must be finite with a positive slope")
        if len(self.knots_x) != len(self.knots_y) or (self.kind == "isotonic" and not self.knots_x):
            raise ValueError("calibration knots must come in pairs")
        if np.any(np.diff(self.knots_x) <= 0) or np.any(np.diff(self.knots_y) < 0):
            raise ValueError("calibration knots must ascend")

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Return probabilities [n] for raw scores [n]; NaN stays NaN."""
        raw = np.asarray(raw, float)
        platt = expit(self.slope * raw + self.offset)
        if self.kind == "beta":
            a, b, c = self.beta
            inner = np.clip(platt, 1e-12, 1 - 1e-12)
            platt = expit(a * np.log(inner) - b * np.log1p(-inner) + c)
        elif self.kind == "isotonic":
            steps = np.interp(raw, self.knots_x, self.knots_y)
            platt = (1 - BLEND) * steps + BLEND * platt
        return np.asarray(FLOOR + (1 - 2 * FLOOR) * platt)


def fit(kind: str, raw: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Calibration:
    """Return the calibration of that kind by (weighted) maximum likelihood; ValueError where y has one class only."""
    raw = np.asarray(raw, float)
    y = np.asarray(y, bool)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, float)
    if y.all() or not y.any():
        raise ValueError("calibration needs rows of both classes")
    slope, offset = _platt(raw, y, weight)
    if kind == "platt":
        return Calibration(kind=kind, slope=slope, offset=offset)
    if kind == "beta":
        q = np.clip(expit(slope * raw + offset), 1e-12, 1 - 1e-12)
        return Calibration(kind=kind, slope=slope, offset=offset, beta=_beta(q, y, weight))
    x, levels = isotonic(raw, y, weight)
    return Calibration(kind="isotonic", slope=slope, offset=offset, knots_x=tuple(x), knots_y=tuple(levels))


def choose(raw: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> tuple[Calibration, dict[str, float]]:
    """Return the best calibration and each kind's held-out log-likelihood.

    Rows are in the order of time: each kind is fitted on the first half and judged on the second; the winner is then
    fitted on all. With one class in a half, Platt's is taken unjudged.
    """
    half = len(y) // 2
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, float)
    figures: dict[str, float] = {}
    if all(part.any() and not part.all() for part in (y[:half], y[half:])):
        for kind in KINDS:
            held = fit(kind, raw[:half], y[:half], weight[:half])(raw[half:])
            figures[kind] = weighted_likelihood(y[half:], held, weight[half:])
    best = max(figures, key=lambda kind: figures[kind]) if figures else "platt"
    return fit(best, raw, y, weight), figures


def weighted_likelihood(y: np.ndarray, p: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean log-likelihood in nats.

    >>> round(weighted_likelihood(np.array([True]), np.array([0.5]), np.array([3.0])), 4)
    -0.6931
    """
    if np.all(weight == weight[0]):
        return log_likelihood(y, p)
    p = np.clip(p, FLOOR, 1 - FLOOR)
    return float(np.average(np.where(y, np.log(p), np.log1p(-p)), weights=weight))


def isotonic(raw: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the corners (x ascending, level ascending) of the weighted isotonic regression of y on raw.

    Pool adjacent violators, O(n log n); each block is kept by its first and last x.

    >>> isotonic(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 0]), np.ones(3))
    ([1.0, 2.0, 3.0], [0.0, 0.5, 0.5])
    """
    x, inverse = np.unique(raw, return_inverse=True)
    mass = np.bincount(inverse, weight)
    hits = np.bincount(inverse, weight * np.asarray(y, float))
    blocks: list[list[float]] = []  # hits, mass, first x, last x
    for place, total, own in zip(x, mass, hits, strict=True):
        blocks.append([own, total, place, place])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            top = blocks.pop()
            blocks[-1] = [blocks[-1][0] + top[0], blocks[-1][1] + top[1], blocks[-1][2], top[3]]
    corners: list[float] = []
    levels: list[float] = []
    for own, total, first, last in blocks:
        for place in (first, last) if last > first else (first,):
            corners.append(float(place))
            levels.append(float(own / total))
    return corners, levels


def _platt(raw: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return slope > 0 and offset; Platt's smoothed targets keep the slope finite on separable rows."""
    positives, negatives = weight[y].sum(), weight[~y].sum()
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, width = float(np.average(raw, weights=weight)), float(np.std(raw)) or 1.0
    z = (raw - centre) / width

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.exp(parameters[0])
        line = slope * z + parameters[1]
        value = np.sum(weight * (np.logaddexp(0, line) - target * line)) / weight.sum()
        error = weight * (expit(line) - target) / weight.sum()
        return float(value), np.array([np.sum(error * z) * slope, np.sum(error)])

    # Imported only to learn: it takes a second, and every start would pay it.
    from scipy.optimize import minimize

    start = np.array([0.0, np.log(positives / negatives)])
    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-6, 6), (-50, 50)])
    slope = float(np.exp(found.x[0])) / width
    return slope, float(found.x[1]) - slope * centre


def _beta(q: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Return (a, b, c) with a, b >= 0 by iterated reweighted least squares under that bound."""
    from scipy.optimize import nnls

    design = np.column_stack([np.log(q), -np.log1p(-q), np.ones_like(q), -np.ones_like(q)])
    parameters = np.array([1.0, 1.0, 0.0, 0.0])
    for _ in range(25):
        line = np.clip(design @ parameters, -30, 30)
        p = expit(line)
        curve = np.maximum(weight * p * (1 - p), 1e-9)
        wish = line + weight * (y - p) / curve
        root = np.sqrt(curve)
        gram = (design * root[:, None]).T @ (design * root[:, None]) + 1e-6 * np.eye(4)
        factor = np.linalg.cholesky(gram).T
        aim = np.linalg.solve(factor.T, (design * curve[:, None]).T @ wish + 1e-6 * np.array([1.0, 1.0, 0.0, 0.0]))
        after, _ = nnls(factor, aim)
        step = float(np.abs(after - parameters).max())
        parameters = after
        if step < 1e-8:
            break
    return float(parameters[0]), float(parameters[1]), float(parameters[2] - parameters[3])
