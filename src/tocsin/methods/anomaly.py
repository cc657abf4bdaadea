"""Scores without labels: how unusual a row is, column by column and as a combination; with exact additive parts.

A row's raw score is the sum over columns of log(1 + surprise) plus the forest's part. The surprise of a number is its
robust z-score beyond 1, of a level minus the logarithm of its share beyond the average one. The forest's part is the
robust z-score of the isolation forest's anomaly score (Liu, Ting and Zhou, "Isolation forest", ICDM 2008), which alone
sees combinations. It says what is rare, not what is wrong: it cannot know a probability of harm.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sklearn.ensemble import IsolationForest

from tocsin.methods.cleaning import MAD_SCALE
from tocsin.methods.encoding import Encoder, Feature, fit_encoder, words

if TYPE_CHECKING:
    from collections.abc import Sequence

COMBINATION = "combination"
MOST_FLAGGED = 0.05
_SAMPLE = 20_000


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted score; ``middles`` and ``widths`` belong to number columns, ``shares`` to the others."""

    encoder: Encoder
    middles: tuple[float, ...]
    widths: tuple[float, ...]
    shares: tuple[dict[str, float], ...]
    forest: Any
    forest_middle: float
    forest_width: float
    limit: float
    """Raw scores above it are unusual: median + 3 scaled MAD of the fitted rows, at most 5 % of them."""
    sorted_raw: Any

    def parts(self, features: Sequence[Feature], at: np.ndarray) -> np.ndarray:
        """Return float64 [n, columns + 1], the last one the combination; a row's sum is its raw score."""
        parts = np.zeros((len(at), len(features) + 1))
        for place, feature in enumerate(features):
            parts[:, place] = np.log1p(self._surprise(place, feature))
        depth = -self.forest.score_samples(_wide(self.encoder.matrix(features, at)))
        parts[:, -1] = np.log1p(np.maximum(0.0, (depth - self.forest_middle) / self.forest_width))
        return parts

    def _surprise(self, place: int, feature: Feature) -> np.ndarray:
        if feature.kind == "number":
            z = np.abs(feature.values - self.middles[place]) / self.widths[place]
            return np.asarray(np.maximum(0.0, np.nan_to_num(z, nan=0.0) - 1.0))
        shares = self.shares[place]
        rare = min(shares.values(), default=1.0) / 2
        usual = -sum(share * np.log(share) for share in shares.values() if share > 0)
        bits = [-np.log(_share(shares, value, feature.kind, rare)) for value in feature.values]
        return np.asarray(np.maximum(0.0, np.array(bits, np.float64) - usual))

    def ranks(self, raw: np.ndarray) -> np.ndarray:
        """Return the share of the fitted rows with a lower raw score, [n] in [0, 1]: comparable, not a probability."""
        return np.asarray(np.searchsorted(self.sorted_raw, raw, side="left") / max(1, len(self.sorted_raw)))


def _share(shares: dict[str, float], value: str | None, kind: str, rare: float) -> float:
    if value is None:
        return shares.get("", rare)
    if kind == "words":
        found = [shares.get(word, rare) for word in words(value)]
        return min(found, default=1.0)
    return shares.get(value, rare)


def fit(features: Sequence[Feature], at: np.ndarray, *, seed: int = 0) -> Anomaly:
    """Return the score fitted on these rows; no label is used."""
    encoder = fit_encoder(features, at, None, ordered=False, seed=seed)
    n = len(at)
    rows = np.arange(n) if n <= _SAMPLE else np.sort(np.random.default_rng(seed).choice(n, _SAMPLE, replace=False))
    sampled = [feature.rows(rows) for feature in features]
    x = _wide(encoder.matrix(sampled, at[rows]))
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(x)
    depth = -forest.score_samples(x)
    middles, widths, shares = [], [], []
    for feature in sampled:
        middle, width, share = _profile(feature)
        middles.append(middle)
        widths.append(width)
        shares.append(share)
    middle = float(np.median(depth))
    draft = Anomaly(
        encoder=encoder,
        middles=tuple(middles),
        widths=tuple(widths),
        shares=tuple(shares),
        forest=forest,
        forest_middle=middle,
        forest_width=MAD_SCALE * float(np.median(np.abs(depth - middle))) or 1.0,
        limit=0.0,
        sorted_raw=np.zeros(0),
    )
    raw = np.sort(draft.parts(sampled, at[rows]).sum(axis=1))
    centre = float(np.median(raw))
    hampel = centre + 3 * MAD_SCALE * float(np.median(np.abs(raw - centre)))
    limit = max(hampel, float(np.quantile(raw, 1 - MOST_FLAGGED)))
    return msgspec.structs.replace(draft, limit=limit, sorted_raw=raw)


def _wide(x: np.ndarray) -> np.ndarray:
    """Return the matrix, or one column of zeros where no level was frequent enough to get one."""
    return x if x.shape[1] else np.zeros((len(x), 1))


def _profile(feature: Feature) -> tuple[float, float, dict[str, float]]:
    """Return (median, scaled MAD or deviation) of a number column, the share of each level of another."""
    if feature.kind == "number":
        present = feature.values[~np.isnan(feature.values)]
        if not len(present):
            return 0.0, 1.0, {}
        middle = float(np.median(present))
        width = MAD_SCALE * float(np.median(np.abs(present - middle))) or float(present.std()) or 1.0
        return middle, width, {}
    values = ["" if value is None else value for value in feature.values]
    counts = Counter(word for value in values for word in (words(value) if feature.kind == "words" else (value,)))
    return 0.0, 1.0, {level: count / len(values) for level, count in counts.items()}
