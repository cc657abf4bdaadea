"""Plain tables: parts of columns, leaks, fall-backs, rows at risk; every law on generated tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tocsin.assessment.roles import plate
from tocsin.assessment.tables import TableResult, assess_table
from tocsin.assessment.windows import window_features
from tocsin.errors import Misconfigured


def table(n: int = 800, seed: int = 1, **more: Any) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    kind = random.choice(["browse", "buy", "refund"], n, p=[0.6, 0.3, 0.1])
    amount = random.lognormal(4, 1, n).round(2)
    z = -4.5 + 3.5 * (amount > 200) + 3.5 * (kind == "refund")
    y = random.random(n) < 1 / (1 + np.exp(-z))
    columns: dict[str, Any] = {
        "transaction_amount": [f"¥{value:,.2f}" for value in amount],
        "user_behavior": kind.tolist(),
        "is_anomaly": [str(int(value)) for value in y],
    }
    return pl.DataFrame(columns | {name: make(y, random) for name, make in more.items()})


def assess(frame: pl.DataFrame, **options: Any) -> TableResult:
    return assess_table(frame, list(range(2, frame.height + 2)), ["t.csv"] * frame.height, **options)


def left_out(result: TableResult) -> dict[str, str]:
    return {out["column"]: out["code"] for out in result.cleaned["left_out"]}


def test_models_are_compared_and_rows_without_a_label_are_the_ones_scored() -> None:
    frame = table().with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("")).otherwise(pl.col("is_anomaly")).alias("is_anomaly")
    )
    result = assess(frame)
    assert [row["model"] for row in result.models] == [
        "chance",
        "single column",
        "linear regression",
        "logistic regression",
        "boosting",
    ]
    assert all(set(row) >= {"mse", "log_likelihood", "ap", "recall_at_1pct_fpr"} for row in result.models)
    assert result.events["to_score"] == 160
    assert {(action["row"] - 1) % 5 for action in result.actions} == {0}
    assert all(action["line"] == action["row"] + 1 for action in result.actions)
    assert result.chosen["folds"] == {"scheme": "stratified", "count": 5}
    assert result.chosen["supervised"] is True
    assert "no time column" in result.chosen["notes"][0]["en"]


def test_a_row_at_risk_has_reasons_in_both_languages_that_belong_to_its_columns() -> None:
    result = assess(table())
    assert result.signals
    for signal in result.signals:
        assert 0 < signal["score"] < 1
        assert signal["evidence"]["decision"] in ("challenge", "hold", "deny")
        for reason in signal["reasons"]:
            assert reason["feature"] in ("transaction_amount", "user_behavior")
            assert reason["text"]["en"]
            assert reason["text"]["zh"]
    assert len(result.incidents) == 1


LEAKS: dict[str, Any] = {
    "copy": lambda y, r: [str(int(v)) for v in y],
    "words": lambda y, r: ["异常" if v else "正常" for v in y],
    "opposite": lambda y, r: ["0" if v else "1" for v in y],
    "scaled": lambda y, r: (y * 100.0 + 7.0).tolist(),
    "noisy": lambda y, r: (y + r.normal(0, 0.01, len(y))).tolist(),
    "scenario": lambda y, r: [int(r.integers(1, 4)) if v else 0 for v in y],
    "chargeback_date": lambda y, r: ["2024-01-02" if v else None for v in y],
    "risk_score": lambda y, r: (np.where(y, 0.6, 0.1) + r.random(len(y)) * 0.3).tolist(),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_column_that_gives_the_label_away_is_named_and_left_out(name: str) -> None:
    result = plate(table(**{name: LEAKS[name]}))
    assert [out.column for out in result.left_out if out.code == "label-copy"] == [name]
    assert "transaction_amount" in [feature.name for feature in result.features]


def test_a_strong_honest_column_is_kept_with_a_warning() -> None:
    frame = table(speed=lambda y, r: np.where(y, 900 + r.random(len(y)) * 100, r.random(len(y)) * 400).tolist())
    result = plate(frame)
    assert not result.left_out
    assert any("speed" in note.en and "--leave-out" in note.en for note in result.notes)
    assert [out.code for out in plate(frame, leave_out=["speed"]).left_out] == ["asked"]


def test_identities_constants_and_empty_columns_are_named_and_left_out() -> None:
    frame = table(
        order_id=lambda y, r: [f"T{number:06d}" for number in range(len(y))],
        row=lambda y, r: list(range(1, len(y) + 1)),
        currency=lambda y, r: ["CNY"] * len(y),
        note=lambda y, r: [None] * len(y),
    )
    codes = {out.column: out.code for out in plate(frame).left_out}
    assert codes == {"order_id": "identity", "row": "identity", "currency": "constant", "note": "empty"}


@pytest.mark.parametrize("positives", [0, 9])
def test_too_few_positives_say_so_and_fall_back_to_an_unsupervised_score(positives: int) -> None:
    frame = table(300).with_columns(
        pl.Series("is_anomaly", ["1"] * positives + ["0"] * (200 - positives) + [None] * 100, dtype=pl.String)
    )
    result = assess(frame)
    assert result.models == []
    assert result.chosen["supervised"] is False
    assert f"{positives} positive" in result.chosen["why"]["en"]
    assert result.events["to_score"] == 100
    assert {action["decision"] for action in result.actions} <= {"allow", "challenge"}


def test_without_a_label_column_every_row_is_scored() -> None:
    result = assess(table(200).drop("is_anomaly"))
    assert result.events["to_score"] == 200
    assert "no label column" in result.chosen["why"]["en"]
    assert result.signals
    assert result.incidents == []


def test_with_a_time_column_folds_follow_time() -> None:
    frame = table(seen=lambda y, r: [f"2024-11-{1 + i // 100:02d} {i % 24:02d}:00:00" for i in range(len(y))])
    result = assess(frame, time="seen")
    assert result.chosen["folds"]["scheme"] == "time-ordered"
    assert result.events["time"] == "seen"


def test_windows_per_key_are_those_of_the_fold_and_follow_time_not_the_order_of_rows() -> None:
    frame = pl.DataFrame(
        {
            "time": ["2024-11-11 10:00:00", "2024-11-11 10:30:00", "2024-11-11 12:00:00", "2024-11-11 10:45:00"],
            "account": ["a", "a", "a", "b"],
            "amount": [10.0, 20.0, 40.0, 7.0],
            "kind": ["x", "y", "x", "y"],
        }
    )
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        features = {f.name: f.values[np.argsort(order)] for f in window_features(plate(frame[order]))}
        assert features["count of rows by account in 1h"].tolist() == [1, 2, 1, 1]
        assert features["sum of amount by account in 24h"].tolist() == [10, 30, 70, 7]
        assert features["mean of amount by account in 1h"].tolist() == [10, 15, 40, 7]


def test_cells_that_are_no_number_are_counted_with_their_lines() -> None:
    frame = table().with_columns(
        pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.lit("about five"))
        .otherwise(pl.col("transaction_amount"))
        .alias("transaction_amount")
    )
    result = assess(frame)
    column = next(row for row in result.cleaned["columns"] if row["column"] == "transaction_amount")
    assert column["unreadable"] == {"cells": 1, "lines": [5]}
    assert column["missing"] == 1


@pytest.mark.parametrize(
    ("yes", "no"),
    [("true", "false"), ("Yes", "No"), ("是", "否"), ("异常", "正常"), ("1.0", "0.0"), ("fraud", "legit")],
)
def test_labels_are_read_in_every_wording(yes: str, no: str) -> None:
    frame = table()
    wanted = (frame["is_anomaly"] == "1").to_numpy()
    worded = frame.with_columns(pl.Series("is_anomaly", [yes if value else no for value in wanted]))
    assert (plate(worded).y == wanted).all()


def test_a_label_of_more_than_two_values_is_refused() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0], "class": ["red", "green", "blue"]})
    with pytest.raises(Misconfigured, match="two values"):
        assess(frame, label="class")


def test_an_empty_label_column_that_was_asked_for_is_refused() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0], "label": pl.Series([None, None], dtype=pl.String)})
    with pytest.raises(Misconfigured, match="is empty"):
        assess(frame, label="label")


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(Misconfigured, match="transaction_amount"):
        assess(table(), label="nope")


def test_an_amount_that_separates_the_labels_is_kept_even_where_it_follows_them_closely() -> None:
    random = np.random.default_rng(0)
    y = random.random(300) < 0.1
    amount = np.where(y, 5000, 100) + random.random(300)
    result = plate(pl.DataFrame({"transaction_amount": amount, "is_anomaly": y.astype(int)}))
    assert [feature.name for feature in result.features] == ["transaction_amount"]
    assert "transaction_amount" in result.notes[0].en


def test_an_amount_column_without_a_number_says_so() -> None:
    frame = pl.DataFrame({"amount": [f"abc{i}" for i in range(50)], "x": [float(i % 7) for i in range(50)]})
    assert {out.column: out.code for out in plate(frame).left_out} == {"amount": "no-number"}


def test_a_column_of_prose_is_no_table() -> None:
    with pytest.raises(Misconfigured, match="no table"):
        assess(pl.DataFrame({"hello": ["this is", "a text"] * 5}))


def test_a_table_of_nothing_but_labels_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no column is left"):
        assess(pl.DataFrame({"is_anomaly": ["0", "1"] * 30}))


def test_the_same_table_and_seed_give_the_same_result() -> None:
    first, second = assess(table(300), seed=5), assess(table(300), seed=5)
    assert first == second
