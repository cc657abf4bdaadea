"""``tocsin up``: the server with its console, and the demo store beside it on request."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING

import click
import msgspec

from tocsin import config
from tocsin.core.records import Limit
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from tocsin.app import Tocsin


KNOWS_ITS_CUSTOMERS_S = 3600
"""The demo serves verdicts from then on: before that every customer is new, and honest ones would have to prove it."""


@click.command(help="Start the server and its console.")
@click.option("--demo", is_flag=True, help="With the demo store, on auto, in a data folder of its own.")
@click.option("--data-dir", default=None, help="Folder of journal, records and keys (default: data).")
@click.option("--host", default=None, help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=int, default=None, help="Port to listen on (default: 8700).")
@click.option("--speed", type=float, default=2.0, show_default=True, help="Multiplies the demo store's traffic.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the demo store.")
def command(demo: bool, data_dir: str | None, host: str | None, port: int | None, speed: float, seed: int) -> None:
    """Serve until stopped; the first start prints the first password."""
    began = time.monotonic()
    settings = config.load({"data_dir": data_dir, "host": host, "port": port})
    if demo:
        settings = _demo_settings(settings)
    _say(f"opening {settings.folder}")
    from tocsin.app import build

    tocsin = build(settings, demo=demo)
    # The server's modules are read while the state is: half of the start holds no lock of the interpreter.
    threading.Thread(target=import_module, args=("tocsin.server.main",), daemon=True).start()
    tocsin.start(progress=lambda events: _say(f"folding the journal again: {events} events"))
    if tocsin.replayed.events:
        _say(f"journal folded: {tocsin.replayed.events} events, {tocsin.replayed.rederived} results written again")
    from tocsin.runtime.collector import calm
    from tocsin.server.main import serve

    calm()

    store: subprocess.Popen[bytes] | None = None
    serving = threading.Timer(KNOWS_ITS_CUSTOMERS_S, _serve_verdicts, [tocsin])
    serving.daemon = True
    try:
        _welcome(tocsin, began)
        if demo:
            store = _open_store(tocsin, speed, seed)
            serving.start()
        serve(tocsin, settings.host, settings.port)
    finally:
        serving.cancel()
        if store is not None:
            store.terminate()
            store.wait(10)
        tocsin.stop()


def _say(text: str) -> None:
    click.echo(f"tocsin: {text}", err=True)


def _welcome(tocsin: Tocsin, began: float) -> None:
    from tocsin.runtime.clock import SystemClock
    from tocsin.server.accounts import Accounts

    address = f"http://{tocsin.settings.host}:{tocsin.settings.port}"
    secret = Accounts(tocsin.records, SystemClock().now).first_password()
    click.echo(f"\n  Tocsin is at {address}  (ready after {time.monotonic() - began:.1f} s)")
    if secret:
        click.echo(f"  Sign in as admin with the first password (shown once, to be changed): {secret}\n")
    else:
        click.echo("  Sign in as before; a lost password: tocsin passwd NAME\n")


# The demo store ----------------------------------------------------------------------------------------------------


def _demo_settings(settings: config.Settings) -> config.Settings:
    """Return settings of the demo: its own folder, on auto, its store as the door out, verdicts in shadow at first."""
    folder = settings.folder / "demo"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret_file = folder / "webhook-secret"
    if not secret_file.exists():
        secret_file.touch(mode=0o600)
        secret_file.write_text("whsec_" + secrets.token_urlsafe(24).replace("-", "A").replace("_", "B"))
    return msgspec.structs.replace(
        settings,
        data_dir=str(folder),
        automation="auto",
        verdict_mode="shadow",
        webhook_secret=secret_file.read_text().strip(),
        demo_url=f"http://127.0.0.1:{_free_port(settings.port + 1)}/actions",
    )


def _serve_verdicts(tocsin: Tocsin) -> None:
    _say("the demo store's customers are known by now: verdicts are served")
    tocsin.configure("tocsin.mode", {"verdict_mode": "live"}, "demo")


def _free_port(wished: int) -> int:
    """Return the wished port where it is free, else any free one."""
    for port in (wished, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Misconfigured("no port on 127.0.0.1 is free for the demo store")


def _open_store(tocsin: Tocsin, speed: float, seed: int) -> subprocess.Popen[bytes]:
    """Put every playbook on auto, make a key, and start the store as a process of its own."""
    from tocsin.runtime.clock import SystemClock
    from tocsin.server.accounts import Accounts

    table = tocsin.records.table(Limit)
    for playbook in tocsin.playbooks():
        id = f"automation/playbook:{playbook.name}"
        if table.get(id) is None:
            table.put(Limit(id=id, kind="automation", key=f"playbook:{playbook.name}", word="auto", by="demo"))
    key_file = tocsin.settings.folder / "demo-key"
    accounts = Accounts(tocsin.records, SystemClock().now)
    if not key_file.exists() or accounts.key(key_file.read_text()) is None:
        token, _ = accounts.make_key("demo store", ("events", "verdicts"), shop=tocsin.settings.shop, who="demo")
        key_file.touch(mode=0o600)
        key_file.write_text(token)
    settings = tocsin.settings
    environment = {
        **os.environ,
        "TOCSIN_DEMO_KEY": key_file.read_text(),
        "TOCSIN_DEMO_SECRET": settings.webhook_secret,
    }
    arguments = {
        "--url": f"http://127.0.0.1:{settings.port}",
        "--port": settings.demo_url.rsplit(":", 1)[1].partition("/")[0],
        "--seed": str(seed),
        "--speed": str(speed),
    }
    flat = [word for pair in arguments.items() for word in pair]
    return subprocess.Popen([sys.executable, "-m", "tocsin.twin.live", *flat], env=environment)
