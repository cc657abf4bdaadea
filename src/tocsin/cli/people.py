"""``tocsin passwd`` and ``tocsin key``: people and machines of an installation, from its own machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tocsin import config
from tocsin.core.records import ApiKey, Role, User
from tocsin.ledger.records import SqlRecords
from tocsin.runtime.clock import SystemClock
from tocsin.server.accounts import Accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.ports import Records

_DATA = click.option("--data-dir", default=None, help="Folder of the installation (default: data).")
_WHO = "command line"


@contextmanager
def _opened(data_dir: str | None) -> Iterator[tuple[config.Settings, Records, Accounts]]:
    settings = config.load({"data_dir": data_dir})
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    records = SqlRecords(f"sqlite:///{settings.folder / 'records.sqlite'}")
    try:
        yield settings, records, Accounts(records, SystemClock().now)
    finally:
        records.close()


@click.command(help="Give a person a fresh password (made here, shown once); --add makes the person.")
@click.argument("name")
@click.option("--add", is_flag=True, help="Add the person.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="responder", show_default=True)
@_DATA
def passwd(name: str, add: bool, role: str, data_dir: str | None) -> None:
    """Print the password; it must be changed at the next sign-in, and open sessions end."""
    with _opened(data_dir) as (_, records, accounts):
        if not add and records.table(User).get(name) is None:
            raise click.UsageError(f"there is no user {name}; add one with: tocsin passwd {name} --add --role {role}")
        secret = accounts.add(name, Role(role), who=_WHO) if add else accounts.reset(name, who=_WHO)
    click.echo(f"password of {name}, shown once: {secret}")


@click.group(help="Make, list and revoke the keys of machines that send events or ask for verdicts.")
def key() -> None:
    """Group of the key commands."""


@key.command("make", help="Make a key; it is shown once.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["events", "verdicts", "read", "act"]),
    default=("events", "verdicts"),
    show_default=True,
)
@click.option("--shop", default=None, help="Shop that its events belong to.")
@_DATA
def make(name: str, scopes: tuple[str, ...], shop: str | None, data_dir: str | None) -> None:
    """Print the token of a new key."""
    with _opened(data_dir) as (settings, _, accounts):
        token, _ = accounts.make_key(name, scopes, shop=shop or settings.shop, who=_WHO)
    click.echo(f"key {name}, shown once: {token}")


@key.command("list", help="List the keys.")
@_DATA
def list_keys(data_dir: str | None) -> None:
    """Print id, name, shop, scopes and state of every key."""
    with _opened(data_dir) as (_, records, _):
        for row in records.table(ApiKey).find({}, order="created", limit=1000):
            state = "revoked" if row.revoked else "valid"
            click.echo(f"{row.id[:12]}  {row.name}  {row.shop}  {','.join(row.scopes)}  {state}")


@key.command("revoke", help="End a key, named by the start of its id.")
@click.argument("id")
@_DATA
def revoke(id: str, data_dir: str | None) -> None:
    """Revoke one key."""
    with _opened(data_dir) as (_, records, accounts):
        found = [row for row in records.table(ApiKey).find({}, limit=1000) if row.id.startswith(id)]
        if len(found) != 1:
            raise click.UsageError(f"{len(found)} keys start with {id}; see: tocsin key list")
        accounts.revoke(found[0].id, who=_WHO)
    click.echo(f"revoked {found[0].name}")
