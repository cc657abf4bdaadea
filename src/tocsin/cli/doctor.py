"""``tocsin doctor``: checks the installation and says what to do."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING

import click

from tocsin import config
from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Finding = tuple[bool, str, str]
"""(good, what was checked, what to do)."""

_LIBRARIES = ("numpy", "polars", "sklearn", "lightgbm", "sqlalchemy", "re2", "uvloop", "httptools", "cryptography")
_LEAST_FREE = 1 << 30


def _python() -> Iterator[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    yield sys.version_info >= (3, 11), f"Python {found}", "install Python 3.11 or newer"


def _libraries() -> Iterator[Finding]:
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            hint = (
                "install the system's OpenMP runtime (Debian: libgomp1)" if "gomp" in str(error) else "run make setup"
            )
            yield False, f"library {name}: {error}", hint
        else:
            yield True, f"library {name}", ""


def _console() -> Iterator[Finding]:
    from tocsin.server.static import console_folder

    yield (console_folder() / "index.html").exists(), "console is built", "run make setup"


def _folder(settings: config.Settings) -> Callable[[], Iterator[Finding]]:
    def check() -> Iterator[Finding]:
        folder = settings.folder
        if not folder.exists():
            yield True, f"data folder {folder} (made at the first start)", ""
            return
        writable = os.access(folder, os.W_OK)
        yield writable, f"data folder {folder} is writable", "give this user the right to write there"
        free = shutil.disk_usage(folder).free
        yield free > _LEAST_FREE, f"{free / 1e9:.1f} GB free", "make room: the intake stops when the disk is full"
        mode = folder.stat().st_mode & 0o077
        yield mode == 0, "data folder is closed to others", f"chmod 700 {folder}"
        killed = (folder / "KILL").exists()
        yield not killed, "kill switch is released", f"nothing is done automatically; delete {folder / 'KILL'} to go on"

    return check


def _port(settings: config.Settings) -> Callable[[], Iterator[Finding]]:
    def check() -> Iterator[Finding]:
        with socket.socket() as probe:
            probe.settimeout(1)
            taken = probe.connect_ex((settings.host, settings.port)) == 0
        yield True, f"port {settings.port} is {'in use (a server is running?)' if taken else 'free'}", ""

    return check


@click.command(help="Check the installation and say what to do.")
@click.option("--data-dir", default=None, help="Folder of the installation (default: data).")
@click.option("--port", type=int, default=None, help="Port of the server (default: 8700).")
def command(data_dir: str | None, port: int | None) -> None:
    """Print a line per finding; exit 1 where one is bad."""
    settings = config.load({"data_dir": data_dir, "port": port})
    bad = 0
    for check in (_python, _libraries, _console, _folder(settings), _port(settings)):
        try:
            findings = list(check())
        except TocsinError as error:
            findings = [(False, str(error), "")]
        for good, what, hint in findings:
            bad += not good
            click.echo(f"{'ok  ' if good else 'BAD '} {what}{'' if good or not hint else f' -> {hint}'}")
    click.echo("all is well" if not bad else f"{bad} to mend")
    raise SystemExit(1 if bad else 0)
