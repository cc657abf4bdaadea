"""``tocsin doctor``: checks the installation, says what is slow and what to do about it."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING

import click

from tocsin import config
from tocsin.cli.doctor_plane import BAD, FINE, NOTE, Finding, kernels, running, stored
from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LIBRARIES = ("numpy", "polars", "sklearn", "lightgbm", "sqlalchemy", "re2", "uvloop", "httptools", "cryptography")
_LEAST_FREE = 1 << 30


def _python() -> Iterator[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    yield Finding(FINE if good else BAD, f"Python {found}", "install Python 3.11 or newer")


def _libraries() -> Iterator[Finding]:
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            hint = (
                "install the system's OpenMP runtime (Debian: libgomp1)" if "gomp" in str(error) else "run make setup"
            )
            yield Finding(BAD, f"library {name}: {error}", hint)
        else:
            yield Finding(FINE, f"library {name}")


def _console() -> Iterator[Finding]:
    from tocsin.server.static import console_folder

    built = (console_folder() / "index.html").exists()
    yield Finding(FINE if built else BAD, "console is built", "run make setup")


def _folder(settings: config.Settings) -> Callable[[], Iterator[Finding]]:
    def check() -> Iterator[Finding]:
        folder = settings.folder
        if not folder.exists():
            yield Finding(FINE, f"data folder {folder} (made at the first start)")
            return
        writable = os.access(folder, os.W_OK)
        yield Finding(
            FINE if writable else BAD, f"data folder {folder} is writable", "give this user the right to write there"
        )
        free = shutil.disk_usage(folder).free
        yield Finding(
            FINE if free > _LEAST_FREE else BAD,
            f"{free / 1e9:.1f} GB free",
            "make room: the intake stops when the disk is full",
        )
        closed = folder.stat().st_mode & 0o077 == 0
        yield Finding(FINE if closed else BAD, "data folder is closed to others", f"chmod 700 {folder}")
        kill = folder / "KILL"
        yield Finding(
            BAD if kill.exists() else FINE,
            "kill switch is released",
            f"nothing is done automatically; delete {kill} to go on",
        )

    return check


def _plane(settings: config.Settings, key: str) -> Callable[[], Iterator[Finding]]:
    """Ask the running server, or read the folder where none answers."""

    def check() -> Iterator[Finding]:
        with socket.socket() as probe:
            probe.settimeout(1)
            taken = probe.connect_ex((settings.host, settings.port)) == 0
        yield Finding(FINE, f"port {settings.port} is {'in use' if taken else 'free'}")
        answered = False
        if taken:
            for finding in running(settings, key):
                answered = answered or finding.what.startswith("server answers")
                yield finding
        if not answered:
            yield from stored(settings)

    return check


@click.command(help="Check the installation, say what is slow and what to do about it.")
@click.option("--data-dir", default=None, help="Folder of the installation (default: data).")
@click.option("--port", type=int, default=None, help="Port of the server (default: 8700).")
@click.option(
    "--key",
    default="",
    envvar="TOCSIN_KEY",
    help="API key with the scope read for the running server; also from TOCSIN_KEY. Without one the folder's is used.",
)
def command(data_dir: str | None, port: int | None, key: str) -> None:
    """Print a line per finding; exit 1 where one is bad."""
    settings = config.load({"data_dir": data_dir, "port": port})
    bad = 0
    for check in (_python, _libraries, _console, kernels, _folder(settings), _plane(settings, key)):
        try:
            findings = list(check())
        except TocsinError as error:
            findings = [Finding(BAD, str(error))]
        for finding in findings:
            bad += finding.state == BAD
            hint = f" -> {finding.hint}" if finding.hint and finding.state != FINE else ""
            click.echo(f"{finding.state:<4} {finding.what}{hint}")
    click.echo("all is well" if not bad else f"{bad} to mend")
    raise SystemExit(1 if bad else 0)


__all__ = ["BAD", "FINE", "NOTE", "command"]
