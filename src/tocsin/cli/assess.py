"""``tocsin assess``: any supported file through the whole loop in shadow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from tocsin.errors import Misconfigured

LARGE_BYTES = 200_000_000


def default_language() -> str:
    """Return ``zh`` where the environment's language is Chinese, else ``en``."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        name = os.environ.get(variable, "")
        if name:
            return "zh" if name.lower().startswith("zh") else "en"
    return "en"


def _say_where_large(paths: tuple[str, ...], language: str) -> None:
    """Tell people what a large input will cost before it does."""
    from tocsin.assessment.words import WORDS

    size = sum(Path(path).stat().st_size for path in paths if Path(path).is_file())
    if size > LARGE_BYTES:
        click.echo(WORDS["large"][language == "zh"].format(mb=size // 1_000_000), err=True)


def _check_target(json_to: str | None, paths: tuple[str, ...]) -> None:
    """Refuse to overwrite what is no JSON: ``--json data.csv`` is a slip, not a wish."""
    if json_to in (None, "-"):
        return
    assert json_to is not None
    target = Path(json_to)
    if json_to in paths or target.is_dir() or (target.is_file() and target.read_bytes()[:1] not in (b"", b"{", b"[")):
        raise click.UsageError(f"--json {json_to}: that exists and is no JSON; put the paths before --json")


@click.command(epilog="Exit codes: 0 done, 1 trouble found (with --check), 2 bad input.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--json",
    "json_to",
    is_flag=False,
    flag_value="-",
    default=None,
    metavar="[FILE]",
    help="Write JSON to FILE, or to standard output; the report then goes to standard error.",
)
@click.option(
    "--mapping",
    "mapping_file",
    type=click.Path(exists=True, dir_okay=False),
    help="YAML that says which column is which field, as a run without it shows.",
)
@click.option(
    "--label",
    default="",
    metavar="COLUMN",
    help="The column that holds the labels; guessed by its header where not given.",
)
@click.option("--leave-out", multiple=True, metavar="COLUMN", help="A column that no model may see; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="Of folds and models.")
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default=None,
    help="Language of the report; the locale's where not given.",
)
@click.option("--check", is_flag=True, help="Exit with 1 where any incident was opened.")
def command(
    paths: tuple[str, ...],
    json_to: str | None,
    mapping_file: str | None,
    label: str,
    leave_out: tuple[str, ...],
    seed: int,
    lang: str | None,
    check: bool,
) -> None:
    """Take files through the whole loop in shadow, without any configuration.

    PATH is a CSV, Parquet or NDJSON file or a web server's access log, plain or with gzip; - is standard input. Several
    are merged by time; a table of labelled rows and one of rows to score may be given together.

    \b
    A mapping says which column is which field of which event; a run without it shows the one that was guessed:
      type: payment.attempted
      time: tx_datetime
      id: transaction_id        # optional
      label: tx_fraud           # optional
      currency: CNY
      fields:
        amount: tx_amount
        account: customer_id
    """  # noqa: D301  (click reads the backspace as: keep these lines)
    _check_target(json_to, paths)
    from tocsin.assessment.report import render
    from tocsin.assessment.run import assess_paths
    from tocsin.assessment.words import WORDS
    from tocsin.sources.mapping import load_mapping

    mapping = None
    if mapping_file:
        try:
            mapping = load_mapping(Path(mapping_file).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise Misconfigured(f"{mapping_file} is not UTF-8 text; save it as UTF-8") from error
    language = lang or default_language()
    _say_where_large(paths, language)
    with Console(stderr=True).status(WORDS["working"][language == "zh"]):
        result = assess_paths(paths, mapping=mapping, label=label, leave_out=leave_out, seed=seed)
    console = Console(stderr=json_to == "-", soft_wrap=False)
    console.width = min(console.width, 100) if console.is_terminal else 100
    render(result, language, console)
    if json_to == "-":
        sys.stdout.write(result.json().decode() + "\n")
    elif json_to:
        Path(json_to).write_bytes(result.json() + b"\n")
    if check and result.incidents:
        raise click.exceptions.Exit(1)
