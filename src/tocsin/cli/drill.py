"""``tocsin drill``: breaks the demo store on purpose and scores what Tocsin does about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tocsin.errors import Misconfigured
from tocsin.twin.trouble import NAMES, named, read, strengths_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.twin.score import Result

TUNING_SEEDS = tuple(range(900, 905))
"""Quiet days on which the fixed thresholds of the comparison are tuned."""
FALSE_ALARMS_A_DAY = 1.0
"""What the thresholds may raise on a quiet day: the bound that Tocsin itself is held to."""
MUST_BE_FOUND = ("medium", "strong")


@click.command(help="Break the demo store on purpose and score detection and response.")
@click.argument("name", required=False, metavar=f"[{'|'.join(NAMES)}|all]")
@click.option("--spec", type=click.Path(path_type=Path), default=None, help="Run the drill of a YAML file instead.")
@click.option("--seed", type=int, default=1, show_default=True, help="Everything random follows from it.")
@click.option(
    "--strength",
    type=click.Choice(["weak", "medium", "strong"]),
    default=None,
    help="Only this strength (default: all).",
)
@click.option(
    "--json", "target", is_flag=False, flag_value="-", default=None, metavar="[FILE]",
    help="Write the scores as JSON to a file, or to standard output.",
)  # fmt: skip
def command(name: str | None, spec: Path | None, seed: int, strength: str | None, target: str | None) -> None:
    """Run the drills; exit 1 where one of medium or strong was not detected or cost more than without Tocsin."""
    drills = _chosen(name, spec)
    if seed < 0:
        raise click.UsageError("--seed must be 0 or more")
    results = rehearsed(drills, seed, strength)
    document = msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n"
    if target == "-":
        sys.stdout.buffer.write(document)
    else:
        if target is not None:
            _write(Path(target), document)
        Console().print(table(results))
    raise SystemExit(1 if missed(results) else 0)


def _chosen(name: str | None, spec: Path | None) -> list[dict[str, Any]]:
    if (name is None) == (spec is None):
        raise click.UsageError(f"name one drill ({', '.join(NAMES)}, all) or a file with --spec")
    if spec is not None:
        return [read(spec)]
    return [named(drill) for drill in (NAMES if name == "all" else (str(name),))]


def _write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError as error:
        raise Misconfigured(f"--json {path}: {error.strerror}") from error


def rehearsed(drills: Sequence[dict[str, Any]], seed: int, strength: str | None = None) -> list[Result]:
    """Return the scores of drills at all their strengths, or at one; progress goes to standard error."""
    from tocsin.cli.rehearsal import opened
    from tocsin.twin.drill import rehearse, tuned

    _say("tuning the fixed thresholds on quiet days")
    limits = tuned(TUNING_SEEDS, FALSE_ALARMS_A_DAY)
    results = []
    for spec in drills:
        for one in strengths_of(spec) if strength is None else (strength,):
            _say(f"{spec['name']}, {one}, seed {seed}")
            results.append(rehearse(spec, one, seed, opened, limits))
    return results


def missed(results: Sequence[Result]) -> bool:
    """Whether a goal was missed: medium and strong are to be detected and to cost less than without Tocsin."""
    held = [result for result in results if result.strength in MUST_BE_FOUND]
    return any(not result.detected or result.lost_with > max(result.lost_without, 0) for result in held)


def _say(text: str) -> None:
    click.echo(f"drill: {text}", err=True)


def table(results: Sequence[Result]) -> Table:
    """Return the scores for the terminal; money in whole units of the store's currency."""
    sheet = Table(
        title="Drills",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        caption="found, acted: simulated seconds after the start; false: false incidents\n"
        "money lost in CNY beyond a quiet run of the same seed: with Tocsin, without, with fixed thresholds",
    )
    sheet.add_column("drill", no_wrap=True)
    sheet.add_column("strength", no_wrap=True)
    for heading in ("found", "acted", "false", "with", "without", "fixed"):
        sheet.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        sheet.add_row(
            result.drill,
            result.strength,
            _seconds(result.seconds_to_detect),
            _seconds(result.seconds_to_respond),
            str(result.false_incidents),
            *(f"{lost / 100:,.0f}" for lost in (result.lost_with, result.lost_without, result.lost_with_thresholds)),
        )
    return sheet


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
