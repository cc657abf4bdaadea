"""``tocsin audit``, ``backup``, ``restore``, ``export`` and ``forget``: the keeping of the memory."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tocsin import config
from tocsin.ledger import export as ledger
from tocsin.ledger.audit import verify_audit
from tocsin.ledger.history import History
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.vault import KeyVault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.ports import Records

_DATA = click.option("--data-dir", default=None, help="Folder of the installation (default: data).")


def _folder(data_dir: str | None) -> Path:
    folder = config.load({"data_dir": data_dir}).folder
    if not (folder / "records.sqlite").exists():
        raise click.UsageError(f"there is no installation in {folder}; name one with --data-dir")
    return folder


@contextmanager
def _records(folder: Path) -> Iterator[Records]:
    records = SqlRecords(f"sqlite:///{folder / 'records.sqlite'}")
    try:
        yield records
    finally:
        records.close()


@click.group(help="The chained trail of who did what.")
def audit() -> None:
    """Group of the audit commands."""


@audit.command("verify", help="Check that no line of the trail was changed or taken out.")
@_DATA
def verify(data_dir: str | None) -> None:
    """Exit 1 where the chain is broken."""
    with _records(_folder(data_dir)) as records:
        broken = verify_audit(records)
    if broken is not None:
        click.echo(f"the trail is broken at {broken}: that line or the one before it was changed", err=True)
        raise SystemExit(1)
    click.echo("the audit trail is whole")


@click.command(help="Copy the memory to a new folder TARGET; the server may go on.")
@click.argument("target", type=click.Path(path_type=Path))
@_DATA
def backup(target: Path, data_dir: str | None) -> None:
    """Copy journal, records, keys and models, each with its checksum."""
    manifest = ledger.backup(_folder(data_dir), target)
    click.echo(f"{len(manifest.files)} files in {target}")


@click.command(help="Bring the backup SOURCE back to an empty data folder.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--data-dir", default=None, help="Folder to restore to (default: data); it must be empty.")
@click.option("--replaces", type=click.Path(path_type=Path), help="Old folder: who was forgotten there stays so.")
def restore(source: Path, data_dir: str | None, replaces: Path | None) -> None:
    """Check every file against the backup's checksums, then copy it."""
    folder = config.load({"data_dir": data_dir}).folder
    manifest = ledger.restore(source, folder, replaces=replaces)
    click.echo(f"{len(manifest.files)} files restored to {folder}")


@click.command(help="Write the ledger as lines of JSON to standard output; --hash prints its SHA-256 alone.")
@click.option("--hash", "only_hash", is_flag=True, help="Print the hash alone.")
@_DATA
def export(only_hash: bool, data_dir: str | None) -> None:
    """Stop the server first: the journal has one owner."""
    folder = _folder(data_dir)
    journal = SegmentJournal(folder / "journal")
    try:
        with _records(folder) as records:
            if only_hash:
                click.echo(ledger.digest(journal, records))
                return
            for line in ledger.export(journal, records):
                sys.stdout.buffer.write(line)
    finally:
        journal.close()


@click.command(help="Destroy what is stored of SUBJECT (account:alice, card:…), for good.")
@click.argument("subject")
@click.option("--by", required=True, help="Who asks for it; goes on the audit trail.")
@click.option("--why", default="request of the person", show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_DATA
def forget(subject: str, by: str, why: str, yes: bool, data_dir: str | None) -> None:
    """Stop the server first: the journal is rewritten."""
    settings = config.load({"data_dir": data_dir})
    folder = _folder(data_dir)
    if not yes:
        click.confirm(f"Destroy what is stored of {subject.partition(':')[0]}:…? This cannot be undone", abort=True)
    journal = SegmentJournal(folder / "journal")
    try:
        with _records(folder) as records:
            vault = KeyVault(records, folder)
            done = ledger.forget(
                settings.shop,
                subject,
                journal=journal,
                records=records,
                vault=vault,
                who=by,
                why=why,
                history=History(folder / "history"),
            )
    finally:
        journal.close()
    known = "its key is destroyed" if done.key else "no key was stored for it"
    click.echo(f"{done.subject}: {known}; emptied {done.events} events, {done.records} records, {done.letters} letters")
