"""The fraud benchmark's protocol by hand, and the command that runs benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from benchmarks.__main__ import main, names, table
from benchmarks.fraud import DELAY, Payments, handbook_features
from benchmarks.report import NoData, Report

from tocsin.core.events import DAY, HOUR

if TYPE_CHECKING:
    from pathlib import Path


def payments(folder: Path, rows: list[tuple[float, int, int, float, int]]) -> Payments:
    """Write (day, customer, terminal, amount, fraud) rows as the data set and read them."""
    day, customer, terminal, amount, fraud = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {
            "transaction_id": range(len(rows)),
            "tx_datetime": [int(at * 86_400_000) for at in day],
            "customer_id": customer,
            "terminal_id": terminal,
            "tx_amount": amount,
            "tx_fraud": fraud,
        }
    ).with_columns(pl.col("tx_datetime").cast(pl.Datetime("ms")))
    frame.write_parquet(folder / "transactions.parquet")
    return Payments([folder])


def test_labels_come_seven_days_later_and_before_payments_of_that_moment(tmp_path: Path) -> None:
    """One fraud on day 1: its label stands between the payments of day 7.9 and day 8."""
    kept = payments(tmp_path, [(1, 1, 5, 10.0, 1), (7.9, 1, 5, 20.0, 0), (8, 2, 5, 30.0, 0), (9, 2, 5, 30.0, 1)])
    events = list(kept.events())
    assert [event.type for event in events] == ["payment.attempted"] * 2 + ["label.given"] + ["payment.attempted"] * 2
    assert events[2].tau - events[0].tau == DELAY
    assert events[2].data["of"] == "0"
    assert (events[2].data["card"], events[2].data["merchant"], events[2].data["amount"]) == ("c1", "m5", 1000)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]


def test_known_compromised_customers_are_left_out_day_by_day(tmp_path: Path) -> None:
    """Week from day 20: fraud on day 6 is known for all of it, on day 13 from day 21 on, on day 5 it is too old."""
    rows = [(6.5, 1, 1, 9.0, 1), (13.5, 2, 1, 9.0, 1), (5.5, 3, 1, 9.0, 1)]
    rows += [(day + 0.5, customer, 2, 9.0, 0) for day in (20, 21) for customer in (1, 2, 3)]
    kept = payments(tmp_path, rows)
    tested = kept.tested(20 * DAY)
    assert [(int(kept.day[row]), int(kept.card[row])) for row in tested] == [(20, 2), (20, 3), (21, 3)]


def test_handbook_features_agree_with_a_slow_count(tmp_path: Path) -> None:
    """The 15 features of 300 random payments equal those counted one by one."""
    rng = np.random.default_rng(0)
    rows = [
        (d, int(rng.integers(5)), int(rng.integers(4)), float(rng.integers(1, 90)), int(rng.random() < 0.2))
        for d in np.sort(rng.uniform(0, 60, 300))
    ]
    kept = payments(tmp_path, rows)
    x = handbook_features(kept)
    for row in range(0, 300, 7):
        now = kept.time[row]
        assert x[row, 0] == pytest.approx(kept.amount[row] / 100)
        assert x[row, 2] == (now % DAY // HOUR <= 6)
        for at, days in enumerate((1, 7, 30)):
            mine = (kept.card == kept.card[row]) & (kept.time <= now) & (kept.time > now - days * DAY)
            assert x[row, 3 + 2 * at] == mine.sum()
            assert x[row, 4 + 2 * at] == pytest.approx(kept.amount[mine].mean() / 100)
            there = (kept.merchant == kept.merchant[row]) & (kept.time <= now - DELAY)
            there &= kept.time > now - DELAY - days * DAY
            assert x[row, 9 + 2 * at] == there.sum()
            assert x[row, 10 + 2 * at] == pytest.approx(kept.y[there].mean() if there.any() else 0.0)


def test_unknown_names_and_missing_data_are_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with the list of what there is, or with what to pass."""
    assert main(["nosuch"]) == 2
    assert "fraud" in capsys.readouterr().err
    assert main(["fraud"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["fraud", "--data", str(tmp_path)]) == 2
    assert main(["--list"]) == 0
    assert "fraud" in names()
    with pytest.raises(NoData):
        Payments([tmp_path])


def test_the_table_shows_ours_the_rivals_and_the_goal() -> None:
    """One column a figure, gaps where a rival has none."""
    report = Report(name="x", figures={"ap": 0.5, "ms": 2.0}, rivals={"chance": {"ap": 0.01}}, goals={"ap": ">= 0.4"})
    shown = table(report)
    assert shown.row_count == 3
    assert len(shown.columns) == 3
