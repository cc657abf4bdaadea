"""Watch a series of buckets under an alarm budget: so many false alarms a day, and as fast as that allows.

Each closed bucket is tested together with the buckets before it: windows of 1, 2, 3, ... buckets that end now (the
window-limited generalised likelihood ratio of Lai, "Sequential changepoint detection in quality control and dynamical
systems", JRSS B 57, 1995), each against an exact predictive tail that carries the baseline's own uncertainty:

* counts: negative binomial (Poisson with a gamma rate), its dispersion measured on the reference; upwards also beyond
  what an ordinary hour reaches;
* ratios: beta-binomial, baseline learned from the cleanest blocks of the reference outwards, so that an old outage
  does not raise it;
* levels (times, means) become ratios: which buckets exceed the reference's upper quantile (``exceedances``).

The smallest tail probability alarms when it is below ``per_day / tests a day``. For ratios a window is opened by a
failure, so tests are counted per expected failure, not per bucket: that is what makes sparse series quick. The onset is
the window's start that maximises the likelihood ratio. All functions are pure, O(longest) in time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, gammaln, logsumexp

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Lengths that are tested, in buckets."""
_PRIOR_TRIALS, _PRIOR_RATIO = 60.0, 0.01
_MOST_TRIALS = 4000.0
"""A baseline never counts as surer than this many trials: real rates drift."""
_MODEL_ERROR = 0.01
"""Squared coefficient of variation that a count baseline is granted at least."""
_CLEAN = 1e-3
_BLOCK = 8
_LEAST_KNOWN = 60
"""Values that an upper quantile needs at least."""
_PEAK = 1.3
"""Upwards, an alarm is this far beyond what an ordinary hour reaches."""
_SCREEN = 2.5
"""Standard deviations below which no exact tail is computed: it could not be small enough."""


class Alarm:
    """One alarm: how unlikely it is without trouble, and since when.

    ``p`` tail probability; ``limit`` what the budget allows; ``buckets`` how many buckets ago it began, 1 = with this
    one; ``window`` the length that was surest; ``level`` and ``baseline`` the mean per bucket (or the ratio) in it.
    """

    __slots__ = ("baseline", "buckets", "level", "limit", "p", "window")

    def __init__(self, p: float, limit: float, buckets: int, window: int, level: float, baseline: float) -> None:
        self.p = p
        self.limit = limit
        self.buckets = buckets
        self.window = window
        self.level = level
        self.baseline = baseline

    @property
    def score(self) -> float:
        """Confidence in [0.5, 1): 0.5 at the budget's limit, nearing 1 as the tail shrinks."""
        return float(1.0 - 0.5 * min(1.0, self.p / self.limit) ** 0.25)


def watch_counts(
    value: float,
    history: np.ndarray,
    *,
    buckets_per_day: float,
    per_day: float,
    direction: str = "up",
    factor: float = 1.0,
    tolerance: float = 1.5,
    least: float = 0.0,
    longest: int = 48,
    warm: int = 60,
) -> Alarm | None:
    """Return the alarm of a series of counts, or None.

    Parameters
    ----------
    value, history
        This bucket's count and the earlier ones, oldest first.
    per_day
        Budget of false alarms a day.
    direction
        ``up`` or ``down``.
    factor
        The campaign's expected uplift now; it raises the expectation upwards and never alarms downwards.
    tolerance
        How much change is ordinary: upwards the expectation is multiplied by it, downwards divided.
    least
        Upwards, a bucket or a mean per bucket below it is never worth an alarm.
    longest, warm
        Longest window, and how many reference buckets (before the windows) are needed at least.
    """
    recent, reference = _split(history, longest, warm)
    if reference.size == 0 or (direction == "up" and value < least):
        return None
    rate, shape = _count_baseline(reference)
    rate *= _season(history, buckets_per_day, reference.size)
    lengths = [length for length in WINDOWS if length <= recent.size + 1]
    sums = _suffix_sums(np.append(recent, value), lengths)
    sizes = np.asarray(lengths, np.float64)
    if direction == "up":
        expected = np.maximum(rate * tolerance * max(factor, 1.0), 1e-9) * sizes
        off = (sums > expected) & (sums >= least * sizes)
        tails = np.where(off, betainc(np.maximum(sums, 1.0), shape, expected / (expected + shape)), 1.0)
    else:
        expected = np.maximum(rate / tolerance * min(factor, 1.0), 1e-9) * sizes
        off = sums < expected
        tails = np.where(off, betainc(shape, sums + 1.0, shape / (expected + shape)), 1.0)
    tests = max(1.0, min(buckets_per_day, rate * buckets_per_day) * len(lengths))
    best = int(np.argmin(tails))
    if tails[best] >= per_day / tests:
        return None
    if direction == "up" and sums[best] <= _PEAK * max(factor, 1.0) * _usual_peak(
        reference, lengths[best], buckets_per_day
    ):
        return None
    gain = sums * np.log(np.maximum(sums, 0.5) / expected) - (sums - expected)
    onset = lengths[int(np.argmax(np.where(off, gain, -np.inf)))]
    return Alarm(float(tails[best]), per_day / tests, onset, lengths[best], float(sums[best] / sizes[best]), rate)


def watch_ratio(
    value: float,
    n: float,
    history: np.ndarray,
    history_n: np.ndarray,
    *,
    buckets_per_day: float,
    per_day: float,
    least: float = 0.0,
    fewest: int = 2,
    tolerance: float = 1.0,
    longest: int = 256,
    warm: int = 60,
) -> Alarm | None:
    """Return the alarm of a ratio that has risen, or None: ``value`` of ``n`` trials hit, history likewise.

    A missing ratio (NaN) is a bucket without trials. A level below ``least`` or with less than ``fewest`` hits is never
    worth an alarm; ``tolerance`` multiplies the baseline. Hits are taken as independent: where one person's retries
    make several, ask for more of them.
    """
    hits_now = 0.0 if n <= 0 or math.isnan(value) else float(round(value * n))
    if hits_now == 0:
        return None
    trials = np.nan_to_num(np.asarray(history_n, np.float64))
    hits = np.rint(np.nan_to_num(np.asarray(history, np.float64)) * trials)
    recent_trials, reference_trials = _split(trials, longest, warm)
    if reference_trials.size == 0:
        return None
    cut = reference_trials.size
    good, bad = _ratio_baseline(hits[:cut], reference_trials)
    share = min(good / (good + bad) * tolerance, 0.999)
    weight = min(good + bad, _MOST_TRIALS)
    lengths = [length for length in WINDOWS if length <= recent_trials.size + 1]
    sums = _suffix_sums(np.append(hits[cut:], hits_now), lengths)
    sizes = _suffix_sums(np.append(recent_trials, n), lengths)
    per_bucket = float(reference_trials.mean())
    # Windows that hold the same trials are one test.
    tests = max(1.0, share * per_bucket * buckets_per_day) * np.unique(sizes).size
    limit = per_day / tests
    best, best_p, onset, best_gain = -1, 1.0, 1, -math.inf
    for number, (hit, trial) in enumerate(zip(sums.tolist(), sizes.tolist(), strict=True)):
        level = hit / trial
        spread = math.sqrt(trial * share * (1.0 - share) * (1.0 + trial / weight))
        if hit < max(fewest, 2) or level < least or hit - trial * share < _SCREEN * spread:
            continue
        p = beta_binomial_tail(int(hit) - 1, int(trial) - 1, share * weight, (1.0 - share) * weight)
        gain = _binary_gain(hit, trial, share)
        if p < best_p:
            best, best_p = number, p
        if gain > best_gain:
            onset, best_gain = lengths[number], gain
    if best < 0 or best_p >= limit:
        return None
    return Alarm(best_p, limit, onset, lengths[best], float(sums[best] / sizes[best]), share)


def exceedances(
    value: float,
    history: np.ndarray,
    *,
    quantile: float = 0.95,
    tolerance: float = 1.5,
    longest: int = 256,
    warm: int = 60,
) -> tuple[float, np.ndarray] | None:
    """Return a level (a time, a mean) as a ratio of 0 or 1 a bucket: now, and over the history; NaN stays NaN.

    1 is a bucket above ``tolerance`` times the reference's ``quantile``; of those the reference has at most
    1 - quantile, whatever its distribution. None where the reference holds too few values.
    """
    values = np.asarray(history, np.float64)
    _, reference = _split(values, longest, warm)
    known = reference[~np.isnan(reference)]
    if known.size < _LEAST_KNOWN:
        return None
    bound = float(np.quantile(known, quantile)) * tolerance
    marks = np.where(np.isnan(values), np.nan, values > bound)
    return (math.nan if math.isnan(value) else float(value > bound)), marks


def beta_binomial_tail(hits: int, trials: int, a: float, b: float) -> float:
    """Return P(X >= hits) for X ~ BetaBinomial(trials, a, b), exactly.

    >>> round(beta_binomial_tail(2, 2, 1.0, 1.0), 6), beta_binomial_tail(0, 5, 1.0, 1.0)
    (0.333333, 1.0)
    """
    if hits <= 0:
        return 1.0
    if hits > trials:
        return 0.0
    k = np.arange(hits, trials + 1, dtype=np.float64)
    logs = (
        gammaln(trials + 1) - gammaln(k + 1) - gammaln(trials - k + 1)
        + gammaln(k + a) + gammaln(trials - k + b) - gammaln(trials + a + b)
        + gammaln(a + b) - gammaln(a) - gammaln(b)
    )  # fmt: skip
    return float(min(1.0, math.exp(logsumexp(logs))))


def _split(history: np.ndarray, longest: int, warm: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (recent buckets under test, reference before them); the reference is empty where history is too short."""
    history = np.asarray(history, np.float64)
    recent = min(longest - 1, history.size // 3)
    reference = history[: history.size - recent]
    if reference.size < warm:
        reference = reference[:0]
    return history[history.size - recent :], reference


def _suffix_sums(values: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return the sum of the last ``length`` values for each length."""
    running = np.cumsum(values[::-1])
    return np.asarray(running[np.asarray(lengths) - 1])


def _count_baseline(reference: np.ndarray) -> tuple[float, float]:
    """Return (rate per bucket, shape of its gamma): the median of blocks, with their spread beyond Poisson."""
    usable = reference[-(reference.size // _BLOCK) * _BLOCK :]
    blocks = usable.reshape(-1, _BLOCK).mean(axis=1)[-30:]
    middle = float(np.median(blocks))
    # A median of a few events says little; a mean must not remember one crowd for hours.
    rate = float(np.minimum(blocks, np.quantile(blocks, 0.9)).mean()) if middle * _BLOCK < 5 else middle
    if rate <= 0:
        return 0.5 / reference.size, 0.5
    spread = 1.4826 * float(np.median(np.abs(blocks - middle)))
    beyond = max(0.0, spread**2 - rate / _BLOCK) / rate**2
    return rate, 1.0 / (1.0 / (rate * blocks.size * _BLOCK + 0.5) + beyond + _MODEL_ERROR)


def _usual_peak(reference: np.ndarray, length: int, buckets_per_day: float) -> float:
    """Return what windows of that length reach in an ordinary hour: the median over hours of their highest sum.

    Traffic that comes in pulses is not a rate; one past flood does not raise the median.
    """
    running = np.concatenate(([0.0], np.cumsum(reference)))
    sums = running[length:] - running[:-length]
    hour = max(1, round(buckets_per_day / 24))
    hours = max(1, round(sums.size / hour))
    return float(np.median([part.max() for part in np.array_split(sums, hours)]))


def _season(history: np.ndarray, buckets_per_day: float, size: int) -> float:
    """Return how yesterday went on from the reference's place to this one; 1.0 without a whole day of history."""
    day = round(buckets_per_day)
    if history.size < day + size:
        return 1.0
    around = max(_BLOCK, day // 96)
    place = history.size - day
    then = float(history[max(0, place - around) : place + around].mean())
    before = float(history[max(0, place - size) : place].mean())
    return min(4.0, max(0.25, then / before)) if before > 0 and then > 0 else 1.0


def _ratio_baseline(hits: np.ndarray, trials: np.ndarray) -> tuple[float, float]:
    """Return (a, b) of the baseline's beta: the cleaner half of the blocks, then the others unless they stand out."""
    size = hits.size // _BLOCK * _BLOCK
    block_hits = hits[-size:].reshape(-1, _BLOCK).sum(axis=1)
    block_trials = trials[-size:].reshape(-1, _BLOCK).sum(axis=1)
    order = np.argsort((block_hits + _PRIOR_RATIO) / (block_trials + 1.0), kind="stable")
    half = order[: max(1, order.size // 2)]
    a = _PRIOR_TRIALS * _PRIOR_RATIO + float(block_hits[half].sum())
    b = _PRIOR_TRIALS * (1 - _PRIOR_RATIO) + float((block_trials[half] - block_hits[half]).sum())
    for block in order[half.size :].tolist():
        hit, trial, share = float(block_hits[block]), float(block_trials[block]), a / (a + b)
        far = hit - trial * share > _SCREEN * math.sqrt(trial * share * (1.0 - share) * (1.0 + trial / (a + b)))
        if far and beta_binomial_tail(int(hit), int(trial), a, b) < _CLEAN:
            continue
        a, b = a + hit, b + trial - hit
    return a, b


def _binary_gain(hits: float, trials: float, share: float) -> float:
    """Return the log likelihood ratio of a ratio at its own level against the baseline."""
    level = hits / trials
    gain = hits * math.log(level / share)
    return gain if level >= 1.0 else gain + (trials - hits) * math.log((1.0 - level) / (1.0 - share))
