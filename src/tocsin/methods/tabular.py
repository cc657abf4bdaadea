"""Models of a labelled table compared on held-out rows, and the chosen one with exact reasons.

Linear regression (ridge), logistic regression and gradient boosting, beside chance and the best single column. Every
fold fits its own cleaning and encoding. Figures: mean squared error, mean log-likelihood (nats), average precision,
recall at 1 % false positives; mean and standard deviation over the folds.

Reference for the attributions of trees: Lundberg et al., "From local explanations to global understanding", 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import msgspec
import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from tocsin.methods import evaluation, trees
from tocsin.methods.encoding import Encoder, Feature, fit_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANCE, SINGLE, LINEAR, LOGISTIC, BOOSTING = (
    "chance",
    "single column",
    "linear regression",
    "logistic regression",
    "boosting",
)
MODELS = (CHANCE, SINGLE, LINEAR, LOGISTIC, BOOSTING)
FIGURES = ("mse", "log_likelihood", "ap", "recall_at_1pct_fpr")
LEAST_POSITIVES = 10
"""With fewer positives no model is fitted."""
MOST_ROWS = 100_000
"""Folds are drawn from at most this many rows (the latest where there is time)."""
_FOLDS = 5
_EDGE = 1e-6


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One fitted model: ``raw`` is log-odds, or the linear regression's own output (a share)."""

    kind: str
    encoder: Encoder
    weights: Any = None
    """Linear ones: float64 [k]; ``centre`` the training means, from which attributions are counted."""
    offset: float = 0.0
    centre: Any = None
    trees: trees.Trees | None = None
    column: str = ""

    def matrix(self, features: Sequence[Feature], at: np.ndarray) -> np.ndarray:
        """Return the model's own view of rows."""
        return self.encoder.matrix(features, at, raw=self.kind == BOOSTING)

    def raw(self, features: Sequence[Feature], at: np.ndarray) -> np.ndarray:
        """Return raw scores [n]."""
        if self.kind == CHANCE:
            return np.full(len(at), self.offset)
        x = self.matrix(features, at)
        if self.trees is not None:
            return self.trees.raw(x)
        return np.asarray(x @ self.weights + self.offset, np.float64)

    def probability(self, raw: np.ndarray) -> np.ndarray:
        """Return probabilities [n] of raw scores, inside [1e-6, 1 - 1e-6]; not yet calibrated."""
        p = raw if self.kind == LINEAR else expit(raw)
        return np.asarray(np.clip(p, _EDGE, 1 - _EDGE), np.float64)

    def contributions(self, features: Sequence[Feature], at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (parts [n, columns of the table], base [n]): base + the sum of a row's parts is its raw score."""
        owners = self.encoder.owners()
        parts = np.zeros((len(at), len(self.encoder.blocks)))
        if self.kind == CHANCE:
            return parts, np.full(len(at), self.offset)
        x = self.matrix(features, at)
        if self.trees is not None:
            shap = self.trees.contributions(x)
            single, base = shap[:, :-1], shap[:, -1]
        else:
            single = (x - self.centre) * self.weights
            base = np.full(len(at), float(self.centre @ self.weights + self.offset))
        for column in range(x.shape[1]):
            parts[:, owners[column]] += single[:, column]
        return parts, base


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One fold: the rows it tested, its models, and their raw scores."""

    rows: Any
    models: dict[str, Model]
    raw: dict[str, Any]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of all models over the folds: model -> figure -> (mean, standard deviation)."""

    figures: dict[str, dict[str, tuple[float, float]]]
    per_fold: dict[str, dict[str, list[float]]]
    folds: tuple[Held, ...]
    scheme: str
    """``time-ordered`` or ``stratified``."""
    dropped: int
    """Training rows that ``drop`` left out, summed over folds."""

    def chosen(self) -> tuple[str, str]:
        """Return (model, why it): the best mean AP; within one standard error the better log-likelihood decides."""
        real = (LINEAR, LOGISTIC, BOOSTING)
        best = max(real, key=lambda kind: self.figures[kind]["ap"][0])
        n = max(1, len(self.folds))
        near = []
        for kind in real:
            gap = np.array(self.per_fold[best]["ap"]) - np.array(self.per_fold[kind]["ap"])
            error = float(gap.std(ddof=1)) / n**0.5 if n > 1 else 0.0
            if kind == best or (gap.mean() <= error and gap.mean() <= 0.01):
                near.append(kind)
        pick = max(near, key=lambda kind: self.figures[kind]["log_likelihood"][0])
        return pick, "ap" if pick == best and len(near) == 1 else "log_likelihood"


def folds_of(y: np.ndarray, time: np.ndarray | None, seed: int) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return (scheme, [(train rows, test rows)]): forward in time where every fold has positives, else stratified."""
    if time is not None:
        forward = [
            (train, test)
            for train, test in evaluation.forward_folds(time, _FOLDS)
            if 5 <= y[train].sum() < len(train) and 2 <= y[test].sum() < len(test)
        ]
        if len(forward) >= 2:
            return "time-ordered", forward
    splitter = StratifiedKFold(min(_FOLDS, int(min(y.sum(), (~y).sum()))), shuffle=True, random_state=seed)
    return "stratified", [(train, test) for train, test in splitter.split(np.zeros(len(y)), y)]


def compare(
    features: Sequence[Feature], y: np.ndarray, at: np.ndarray, *, time: np.ndarray | None = None, seed: int = 0
) -> Comparison:
    """Return the comparison of all models on folds of these labelled rows (y bool [n], both classes present)."""
    picked = _picked(y, time, seed)
    scheme, folds = folds_of(y[picked], None if time is None else time[picked], seed)
    held: list[Held] = []
    dropped = 0
    for train, test in folds:
        train_rows, test_rows = picked[train], picked[test]
        models, lost = fit_all(
            [f.rows(train_rows) for f in features], y[train_rows], at[train_rows], time is not None, seed
        )
        dropped += lost
        part = [feature.rows(test_rows) for feature in features]
        raw = {kind: model.raw(part, at[test_rows]) for kind, model in models.items()}
        held.append(Held(rows=test_rows, models=models, raw=raw))
    per_fold = {kind: _figures(kind, held, y) for kind in MODELS}
    figures = {
        kind: {name: (float(np.mean(row)), float(np.std(row))) for name, row in rows.items()}
        for kind, rows in per_fold.items()
    }
    return Comparison(figures=figures, per_fold=per_fold, folds=tuple(held), scheme=scheme, dropped=dropped)


def _picked(y: np.ndarray, time: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the rows that folds are drawn from: all, the latest, or a sample; in order."""
    if len(y) <= MOST_ROWS:
        return np.arange(len(y))
    if time is not None:
        return np.sort(np.argsort(time, kind="stable")[-MOST_ROWS:])
    return np.sort(np.random.default_rng(seed).choice(len(y), MOST_ROWS, replace=False))


def _figures(kind: str, held: Sequence[Held], y: np.ndarray) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {name: [] for name in FIGURES}
    for fold in held:
        truth = y[fold.rows]
        p = fold.models[kind].probability(fold.raw[kind])
        rows["mse"].append(evaluation.mean_squared_error(truth, p))
        rows["log_likelihood"].append(evaluation.log_likelihood(truth, p))
        rows["ap"].append(evaluation.average_precision(truth, fold.raw[kind]))
        rows["recall_at_1pct_fpr"].append(evaluation.recall_at_fpr(truth, fold.raw[kind]))
    return rows


def fit_all(
    features: Sequence[Feature],
    y: np.ndarray,
    at: np.ndarray,
    ordered: bool,
    seed: int,
    kinds: Sequence[str] = MODELS,
) -> tuple[dict[str, Model], int]:
    """Return (kind -> model fitted on these rows, training rows that ``drop`` left out)."""
    encoder = fit_encoder(features, at, y, ordered=ordered, seed=seed)
    keep = encoder.keep(features)
    if not keep.any() or not 0 < y[keep].sum() < keep.sum():
        keep = np.ones(len(y), bool)
    kept = [feature.rows(keep) for feature in features]
    target, places = y[keep], at[keep]
    x = encoder.matrix(kept, places)
    models: dict[str, Model] = {}
    for kind in kinds:
        if kind == CHANCE:
            rate = float(target.mean())
            models[kind] = Model(kind=kind, encoder=encoder, offset=float(np.log(rate / (1 - rate))))
        elif kind == SINGLE:
            models[kind] = _fit_single(encoder, x, target)
        elif kind == LINEAR:
            line = Ridge(alpha=1.0).fit(x, target.astype(np.float64))
            models[kind] = _linear(kind, encoder, x, line.coef_, float(line.intercept_))
        elif kind == LOGISTIC:
            logit = LogisticRegression(C=1.0, max_iter=300).fit(x, target)
            models[kind] = _linear(kind, encoder, x, logit.coef_[0], float(logit.intercept_[0]))
        else:
            bag = boost(encoder.matrix(kept, places, raw=True), target, places if ordered else None, seed)
            models[kind] = Model(kind=kind, encoder=encoder, trees=bag)
    return models, int((~keep).sum())


def _linear(kind: str, encoder: Encoder, x: np.ndarray, weights: np.ndarray, offset: float) -> Model:
    return Model(
        kind=kind, encoder=encoder, weights=np.asarray(weights, np.float64), offset=offset, centre=x.mean(axis=0)
    )


def _fit_single(encoder: Encoder, x: np.ndarray, y: np.ndarray) -> Model:
    """Return the logistic fit of the one matrix column with the best training AP."""
    weights = np.zeros(x.shape[1])
    if not x.shape[1]:
        rate = float(y.mean())
        return Model(kind=CHANCE, encoder=encoder, offset=float(np.log(rate / (1 - rate))))
    scores = [max(evaluation.average_precision(y, sign * x[:, k]) for sign in (1, -1)) for k in range(x.shape[1])]
    best = int(np.argmax(scores))
    logit = LogisticRegression(C=1.0, max_iter=200).fit(x[:, [best]], y)
    weights[best] = logit.coef_[0][0]
    model = _linear(SINGLE, encoder, x, weights, float(logit.intercept_[0]))
    return msgspec.structs.replace(model, column=encoder.names[best])


def boost(x: np.ndarray, y: np.ndarray, at: np.ndarray | None, seed: int) -> trees.Trees:
    """Return gradient-boosted trees; the number of trees is settled on a fifth of the rows (the latest where ordered).

    Leaves grow with the number of positives, so that small tables give small trees. Small tables are fitted by one
    thread: handing rows around would take longer than the fit.
    """
    positives = int(min(y.sum(), (~y).sum()))
    parameters: dict[str, float | int | str | bool] = {
        "num_leaves": int(np.clip(positives // 10, 4, 31)),
        "min_data_in_leaf": int(np.clip(len(y) // 200, 3, 50)),
        "lambda_l2": 1.0,
        "feature_fraction": 0.9,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "num_threads": 1 if len(y) < 250_000 else 0,
    }
    order = np.argsort(at, kind="stable") if at is not None else np.random.default_rng(seed).permutation(len(y))
    cut = int(len(y) * 0.8)
    inner, outer = order[:cut], order[cut:]
    rounds = 100
    if 3 <= y[outer].sum() < len(outer) and 0 < y[inner].sum() < len(inner):
        trial = lgb.train(
            {**trees.DEFAULTS, **parameters, "seed": seed},
            lgb.Dataset(x[inner], y[inner].astype(np.float64)),
            400,
            valid_sets=[lgb.Dataset(x[outer], y[outer].astype(np.float64))],
            callbacks=[lgb.early_stopping(30, verbose=False)],
        )
        rounds = max(10, int(trial.best_iteration))
    return trees.fit(x, y, rounds=rounds, seed=seed, settings=parameters)
