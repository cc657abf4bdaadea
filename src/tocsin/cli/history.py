"""``tocsin history``: what the Parquet history holds, and how to ask it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import click

from tocsin import config
from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.keep import Keep

if TYPE_CHECKING:
    from pathlib import Path


@click.command(help="List the Parquet history; --compact first takes up the closed segments of the journal.")
@click.option("--compact", is_flag=True, help="Take up what is not there yet; stop the server first.")
@click.option("--data-dir", default=None, help="Folder of the installation (default: data).")
def command(compact: bool, data_dir: str | None) -> None:
    """Print a line a table, and a question to begin with."""
    settings = config.load({"data_dir": data_dir})
    folder = settings.folder
    if not (folder / "journal").is_dir():
        raise click.UsageError(f"there is no journal in {folder}; name an installation with --data-dir")
    history = History(folder / "history")
    if compact:
        click.echo(f"{_compact(folder, history, Keep.parse(settings.journal_keep_days))} segments taken up")
    tables: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for file in history.files():
        tables[file.table].append((file.day, file.rows, (history.folder / file.path).stat().st_size))
    if not tables:
        click.echo("the history is empty: no segment of the journal has been taken up yet")
        return
    click.echo(f"{'table':<28} {'rows':>14} {'bytes':>14}  days")
    for table, files in sorted(tables.items()):
        days = [day for day, *_ in files]
        rows, size = sum(one[1] for one in files), sum(one[2] for one in files)
        click.echo(f"{table:<28} {rows:>14} {size:>14}  {min(days)} to {max(days)}")
    partial = sum(not entry.whole for entry in history.entries())
    if partial:
        click.echo(f"{partial} segments hold only the types that are kept longer")
    table = "order.placed" if "order.placed" in tables else next(iter(sorted(tables)))
    files_of = f"{history.folder}/table={table}/**/*.parquet"
    click.echo(
        f"\nSELECT day, count(*) FROM read_parquet('{files_of}', union_by_name = true) GROUP BY day ORDER BY day;"
    )


def _compact(folder: Path, history: History, keep: Keep) -> int:
    journal = SegmentJournal(folder / "journal")
    try:
        history.clean()
        waiting = [segment for segment in journal.closed() if segment.last > history.through()]
        for segment in waiting:
            history.compact(segment, keep.ever, whole=True)
        return len(waiting)
    finally:
        journal.close()
