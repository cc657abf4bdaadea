"""Gradient-boosted trees (LightGBM): a bag of boosters in text form, with exact additive attributions (TreeSHAP).

The raw score is the mean of the boosters' log-odds. LightGBM trains; a compiled walk (``trees_forest``) scores, equal
to the library to the last bit, and the library itself where loops are not compiled. References: Ke et al., LightGBM
(2017); Lundberg et al., TreeSHAP (2020).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.methods.kernels import COMPILED
from tocsin.methods.trees_forest import Forest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lightgbm

DEFAULTS: dict[str, float | int | str | bool] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 255,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
}


class Trees(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A fitted bag over k features; ``texts`` are LightGBM's own model texts, plain data without code."""

    texts: tuple[str, ...]
    features: int

    def __post_init__(self) -> None:
        """Refuse texts that are damaged or made for other features, linear trees, and several classes."""
        if not self.texts:
            raise ValueError("a bag of trees needs at least one booster")
        if self.forest.features != self.features:
            raise ValueError(f"the trees read {self.forest.features} features, not {self.features}")
        if self.forest.classes != 1:
            raise ValueError(f"a bag of trees gives one score, not {self.forest.classes}")

    @cached_property
    def forest(self) -> Forest:
        """The compiled trees."""
        return Forest(self.texts)

    @cached_property
    def boosters(self) -> Sequence[lightgbm.Booster]:
        """The library's boosters of the texts; ValueError where it cannot read one."""
        import lightgbm

        boosters = []
        for text in self.texts:
            try:
                boosters.append(lightgbm.Booster(model_str=text))
            except lightgbm.basic.LightGBMError as error:
                raise ValueError(f"a booster's text is damaged: {error}") from error
        return boosters

    def ready(self) -> None:
        """Make now what the first scores and attributions would wait for."""
        if COMPILED:
            self.forest.ready()

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Return the raw scores (log-odds) [n] of rows [n, k], NaN where a value is missing."""
        if COMPILED:
            return self.forest.raw(x)
        x = np.ascontiguousarray(np.atleast_2d(x), np.float64)
        total = np.zeros(len(x))
        for booster in self.boosters:
            total += booster.predict(x, raw_score=True, num_threads=_threads(len(x)))
        return total / len(self.boosters)

    def may_exceed(self, x: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
        """Return bool [n], equal to ``raw(x) > limit`` (one limit, or one a row); most rows leave early."""
        return self.forest.may_exceed(x, limit) if COMPILED else np.asarray(self.raw(x) > limit)

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Return [n, k + 1]: what each feature brings, then the base; a row sums to its raw score."""
        if COMPILED:
            return self.forest.contributions(x)
        x = np.ascontiguousarray(np.atleast_2d(x), np.float64)
        total = np.zeros((len(x), self.features + 1))
        for booster in self.boosters:
            total += np.asarray(booster.predict(x, pred_contrib=True, num_threads=_threads(len(x))))
        return total / len(self.boosters)


def _threads(rows: int) -> int:
    """Few rows are scored on the caller's own thread: waking others takes longer than the walk."""
    return 1 if rows < 512 else 0


def fit(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    rounds: int = 250,
    bags: int = 1,
    seed: int = 0,
    settings: dict[str, float | int | str | bool] | None = None,
) -> Trees:
    """Return a bag of ``bags`` boosters of ``rounds`` trees on rows [n, k]; ValueError without both classes.

    The same rows, settings and seed give the same trees.
    """
    y = np.asarray(y, bool)
    if y.all() or not y.any():
        raise ValueError("a model needs rows of both classes")
    x = np.ascontiguousarray(x, np.float64)
    chosen = DEFAULTS | (settings or {})
    # A leaf may hold at most a twentieth of the rows' number, or small sets would grow stumps only.
    chosen["min_data_in_leaf"] = max(2, min(int(chosen["min_data_in_leaf"]), len(y) // 20))
    # Imported only to learn: it brings in pandas and scikit-learn, and every start would pay for them.
    import lightgbm

    data = lightgbm.Dataset(x, y.astype(float), weight=weight, params={"max_bin": chosen["max_bin"], "verbose": -1})
    texts = []
    for bag in range(bags):
        booster = lightgbm.train({**chosen, "seed": seed + bag}, data, num_boost_round=rounds)
        texts.append(booster.model_to_string())
    return Trees(texts=tuple(texts), features=x.shape[1])
