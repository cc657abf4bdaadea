"""Columns that hold the label's outcome itself: found by what they say about the label, named and left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.assessment.plate import LeftOut
from tocsin.core.signal import Text
from tocsin.methods.evaluation import roc_auc
from tocsin.sources.mapping import FIELD_NAMES, find_column, header

if TYPE_CHECKING:
    from tocsin.assessment.plate import Plate
    from tocsin.methods.encoding import Feature

LEAK_AUC = 0.999
_OUTCOME = (
    "fraud anomal abnormal outlier attack label target risk score prob flag chargeback scenario verdict outcome "
    "异常 欺诈 风险 标签 评分 得分 概率 判定 结果 作弊"
).split()


def leave_out_leaks(out: Plate) -> None:
    """Leave out the columns that hold the label's outcome itself, and warn of those that separate it nearly alone.

    A column is the outcome where one class has a single value (or none) that the other class never has, where it
    follows the label almost linearly (|r| >= 0.99; an amount may do that honestly), or where its name says outcome and
    it separates (AUC >= 0.999).
    """
    if out.y is None:
        return
    known = ~np.isnan(out.y)
    y = out.y[known] == 1.0
    if y.sum() < 2 or (~y).sum() < 2:
        return
    kept: list[Feature] = []
    for feature in out.features:
        code, auc = _leak(feature.values[known], feature, y)
        if code is not None:
            text = Text(f"equals the label or gives it away: {code.en}", f"等同于标签或泄露标签：{code.zh}")
            out.left_out.append(LeftOut(feature.name, "label-copy", text))
            out.keys.pop(feature.name, None)
            continue
        kept.append(feature)
        if auc >= LEAK_AUC and y.sum() >= 10:
            out.notes.append(
                Text(
                    f"{feature.name} separates the labels almost alone (AUC {auc:.3f}): "
                    "if it is known only afterwards, leave it out with --leave-out",
                    f"{feature.name} 几乎单独就能区分标签（AUC {auc:.3f}）：若事后才可知，请用 --leave-out 排除",
                )
            )
    out.features = kept


def _leak(values: np.ndarray, feature: Feature, y: np.ndarray) -> tuple[Text | None, float]:
    """Return (why it is the label itself, or None; its own AUC)."""
    if feature.kind == "number":
        keys = ["" if np.isnan(value) else repr(float(value)) for value in values]
    else:
        keys = ["" if value is None else str(value) for value in values]
    negative = {key for key, hit in zip(keys, y, strict=True) if not hit}
    positive = {key for key, hit in zip(keys, y, strict=True) if hit}
    if len(negative) == 1 and not negative & positive:
        return Text("one value in all negative rows and in no positive one", "所有负例同一取值，正例从不出现"), 1.0
    if feature.kind == "number":
        gaps = np.isnan(values)
        filled = np.where(gaps, np.nanmedian(values) if not gaps.all() else 0.0, values)
        auc = roc_auc(y, filled)
        spread = float(filled.std())
        r = float(np.corrcoef(filled, y)[0, 1]) if spread > 0 else 0.0
        money = find_column([feature.name], [*FIELD_NAMES["amount"], *FIELD_NAMES["price"], *FIELD_NAMES["quantity"]])
        if abs(r) >= 0.99 and not money:
            return Text(f"correlation {r:.3f}", f"相关系数 {r:.3f}"), 1.0
    else:
        rate: dict[str, list[int]] = {}
        for key, hit in zip(keys, y, strict=True):
            seen = rate.setdefault(key, [0, 0])
            seen[0] += int(hit)
            seen[1] += 1
        few = len(rate) <= 50
        auc = roc_auc(y, np.array([rate[key][0] / rate[key][1] for key in keys])) if few else 0.5
    auc = max(auc, 1 - auc)
    copy = len(set(keys)) == 2 and auc >= 0.99
    outcome = any(word in header(feature.name) for word in _OUTCOME)
    if copy or (outcome and auc >= LEAK_AUC):
        return Text(f"AUC {auc:.3f} alone", f"单列 AUC {auc:.3f}"), auc
    return None, auc
