"""What a benchmark prints can be read in a pipe: 80 columns, a row a figure."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from benchmarks.__main__ import table
from benchmarks.report import Report, number
from rich.console import Console

RESULTS = sorted((Path(__file__).parents[2] / "docs" / "benchmarks").glob("*.json"))


def printed(report: Report) -> list[str]:
    """Return the lines of a table as a pipe gets them."""
    into = StringIO()
    Console(file=into, width=80).print(table(report))
    return into.getvalue().splitlines()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_published_figure_can_be_read_in_80_columns(path: Path) -> None:
    """Name and value in one line, each rival's under it; only a long rival's name goes on in the next line."""
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    lines = printed(report)
    assert max(map(len, lines)) <= 80
    cells = [[cell.strip() for cell in line.split("│")[1:4]] for line in lines if line.count("│") == 4]
    rows = iter([cell for cell in cells if cell[1]])
    for key, value in report.figures.items():
        assert next(rows) == [key, number(value), report.judged(key)]
        for rival, figures in report.rivals.items():
            if key in figures:
                name, told, goal = next(rows)
                assert name == rival or (rival.startswith(name) and len(name) > 30)
                assert (told, goal) == (number(figures[key]), "")
    assert next(rows, None) is None


@pytest.mark.parametrize(
    ("value", "goal", "judged"),
    [
        (80.0, "<= 80", "<= 80 (reached)"),
        (80.1, "<= 80", "<= 80 (missed)"),
        (350_000.0, ">= 350000", ">= 350000 (reached)"),
        (4.0, "<= 3 with keys >= 1000000", "<= 3 with keys >= 1000000 (missed)"),
        (1.0, "as low as the disk allows", "as low as the disk allows"),
    ],
)
def test_a_goal_says_whether_it_was_reached(value: float, goal: str, judged: str) -> None:
    """By its first comparison; one in words alone is only repeated."""
    report = Report(name="x", figures={"a": value, "b": 1.0}, goals={"a": goal})
    assert (report.judged("a"), report.judged("b")) == (judged, "")
