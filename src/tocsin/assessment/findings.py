"""What is said of the rows at risk: signals with reasons, one incident, and the answer that each row would get."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.assessment.judging import amounts_of
from tocsin.assessment.result import MOST_LISTED
from tocsin.core.events import derived_id
from tocsin.core.signal import Decision, Reason, Signal, Text
from tocsin.core.triage import triage
from tocsin.methods.costs import ANSWERS
from tocsin.methods.masking import mask
from tocsin.methods.reasons import strongest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.assessment.judging import Scored
    from tocsin.assessment.plate import Plate
    from tocsin.methods.encoding import Feature

DESK = "assess"
KIND = "row-at-risk"
SUMMARY = "rows-at-risk"
KINDS = {SUMMARY: Text("Rows at risk", "存在风险的行"), KIND: Text("Row at risk", "有风险的行")}


def signals_of(
    plate: Plate,
    scored: Scored,
    lines: Sequence[int],
    names: Sequence[str],
    features: Sequence[Feature],
) -> list[Signal]:
    """Return one signal for each row at risk, highest score first; at most ``MOST_LISTED``."""
    order = np.lexsort((-scored.raw, -scored.score))
    explain = _Explainer(scored.columns, features)
    risky = [int(place) for place in order if scored.risky[place]]
    signals = []
    for place in risky[:MOST_LISTED]:
        row = int(scored.rows[place])
        when = int(plate.at[row]) if plate.at is not None else 0
        reasons = explain.reasons(scored.parts[place], row)
        evidence = {"row": row + 1, "line": int(lines[row]), "file": names[row], "decision": scored.decisions[place]}
        signals.append(
            Signal(
                id=derived_id("signal", DESK, KIND, names[row], row + 1),
                desk=DESK,
                kind=KIND,
                shop="default",
                subject=f"row:{row + 1}",
                score=float(scored.score[place]),
                onset=when,
                tau=when,
                evidence=evidence | {"raw": float(scored.raw[place]), "base": float(scored.base[place])},
                reasons=reasons,
            )
        )
    return signals


class _Explainer:
    """Puts the parts of a row's score into words; what is usual in a column is looked up once."""

    def __init__(self, columns: Sequence[str], features: Sequence[Feature]) -> None:
        self._columns = columns
        self._features = features
        self._counts: dict[int, Counter[str | None]] = {}
        self._middles: dict[int, float] = {}

    def reasons(self, parts: np.ndarray, row: int) -> tuple[Reason, ...]:
        """Return up to four reasons, the strongest first; contributions are those of ``parts``."""
        found = []
        for column in strongest(parts, np.arange(len(parts)), most=4):
            value, text = self._told(column, row)
            found.append(
                Reason(
                    code="column-raises-score",
                    text=text,
                    feature=self._columns[column],
                    value=value,
                    contribution=float(parts[column]),
                )
            )
        return tuple(found)

    def _told(self, column: int, row: int) -> tuple[float | str | None, Text]:
        name = self._columns[column]
        if column >= len(self._features):
            return None, Text("an unusual combination of columns", "各列取值的组合少见")
        feature = self._features[column]
        cell = feature.values[row]
        if cell is None or (feature.kind == "number" and np.isnan(cell)):
            return None, Text(f"{name} is missing", f"{name} 缺失")
        if feature.kind == "number":
            return float(cell), self._number(column, name, float(cell))
        if column not in self._counts:
            self._counts[column] = Counter(feature.values)
        count = self._counts[column][cell]
        if feature.kind == "key":  # a key may name a person: how often it occurs is said, never the key itself
            return float(count), Text(
                f"the {name} of this row occurs {count:,} times", f"该行的 {name} 出现 {count:,} 次"
            )
        share = count / len(feature.values)
        shown = mask(str(cell))
        return shown, Text(f"{name} is {shown} ({share:.1%} of rows)", f"{name} 为 {shown}（占 {share:.1%}）")

    def _number(self, column: int, name: str, value: float) -> Text:
        if column not in self._middles:
            self._middles[column] = float(np.nanmedian(self._features[column].values))
        middle = self._middles[column]
        return Text(
            f"{name} is {value:,.6g} (typically {middle:,.6g})", f"{name} 为 {value:,.6g}（通常为 {middle:,.6g}）"
        )


def incident_of(signals: Sequence[Signal], scored: Scored, name: str, plate: Plate) -> list[dict[str, Any]]:
    """Return one incident for the table where any row is at risk: a summary signal through triage."""
    if not signals:
        return []
    risky = [at for at in range(len(scored.rows)) if scored.risky[at]]
    answers = [scored.decisions[at] for at in risky]
    counts = {answer: answers.count(answer) for answer in ANSWERS if answer != "allow"}
    onset = min(signal.onset for signal in signals)
    tau = max(signal.tau for signal in signals)
    amounts = amounts_of(plate)[scored.rows]
    at_stake = int(sum(amounts[at] * scored.score[at] for at in risky))
    summary = Signal(
        id=derived_id("signal", DESK, SUMMARY, name),
        desk=DESK,
        kind=SUMMARY,
        shop="default",
        subject=f"shop:{name}",
        score=max(signal.score for signal in signals),
        onset=onset,
        tau=tau,
        evidence={
            "rows": [signal.evidence["row"] for signal in signals[:100]],
            "count": sum(counts.values()),
            "answers": counts,
            "expected_loss": at_stake if plate.amount else None,
        },
    )
    return [msgspec.to_builtins(triage(summary, [], KINDS))]


def actions_of(scored: Scored, lines: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the answer that the rules would give each scored row, the strictest first; all of them in shadow."""
    order = sorted(range(len(scored.rows)), key=lambda at: (-Decision(scored.decisions[at]).rank, -scored.score[at]))
    return [
        {
            "file": names[scored.rows[at]],
            "row": int(scored.rows[at]) + 1,
            "line": int(lines[scored.rows[at]]),
            "decision": scored.decisions[at],
            "score": float(scored.score[at]),
            "state": "suggested",
        }
        for at in order[: 10 * MOST_LISTED]
    ]
