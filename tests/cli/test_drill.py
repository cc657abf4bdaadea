"""``tocsin drill``: what it refuses, what it prints, when it says that a goal was missed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from tocsin.cli.drill import command, missed, table
from tocsin.errors import Misconfigured
from tocsin.twin.score import Result

if TYPE_CHECKING:
    from pathlib import Path


def result(strength: str = "strong", *, detected: bool = True, lost_with: int = 100) -> Result:
    return Result("card-testing", strength, detected, 12.0, None, 0, lost_with, 1000, 500)


def test_the_scores_have_exactly_the_promised_keys() -> None:
    """Tools outside rely on these nine names."""
    assert list(msgspec.to_builtins(result())) == [
        "drill",
        "strength",
        "detected",
        "seconds_to_detect",
        "seconds_to_respond",
        "false_incidents",
        "lost_with",
        "lost_without",
        "lost_with_thresholds",
    ]


def test_medium_and_strong_must_be_found_and_must_pay() -> None:
    """Missing a weak one is no missed goal; missing a strong one is, and so is losing more than without Tocsin."""
    assert not missed([result(), result("weak", detected=False)])
    assert missed([result(detected=False)])
    assert missed([result("medium", lost_with=1001)])


@pytest.mark.parametrize(
    "arguments", [[], ["all", "--spec", "x.yaml"], ["all", "--seed", "-1"], ["all", "--seed", "x"]]
)
def test_wrong_usage_ends_with_two(arguments: list[str]) -> None:
    """Nothing named, too much named, a seed that is none."""
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_a_bad_spec_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """The message holds the file and the place."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nduration_s: 60\nparts:\n  - {primitive: failure, stream: payments, share: 7}\n")
    outcome = CliRunner().invoke(command, ["--spec", str(bad)])
    assert isinstance(outcome.exception, Misconfigured)
    assert "bad.yaml: parts[0].share" in str(outcome.exception)


def test_the_table_shows_money_in_whole_units() -> None:
    """100,000 minor units are 1,000; what did not happen is a dash."""
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table([result(lost_with=100_000)]))
    text = console.export_text()
    assert "1,000" in text
    assert " - " in text
