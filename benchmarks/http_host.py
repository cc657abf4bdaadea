"""A real server in a process of its own: ``python -m benchmarks.http_host SPEC``; one line of JSON when it listens.

``tocsin`` is an installation as it is served (``app.build``, ``server.main.serve``) with the benchmark's desk: 22
features, as many rules as are asked for and 100 trees. ``floor`` is an ASGI app that reads the body and answers the
same bytes, ``fastapi`` an echo checked by pydantic; both run on the same uvicorn with the same settings.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import msgspec

from benchmarks.plane import EXACT, BenchDesk, rule_book, trained
from benchmarks.rule_book import LISTS
from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.runtime.collector import calm
from tocsin.server.main import Web, configured, serve

STARTS_S = 60.0
SETTLES_S = 90.0
HISTORY = "tocsin.ledger.compacting"
"""The child that compacts closed segments of the journal when nobody asks."""
IDLE_S = 0.04
"""Processor seconds in half a second that a server takes with nothing to do, at most."""
TICK = os.sysconf("SC_CLK_TCK")


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What is to listen where."""

    port: int
    app: str = "tocsin"
    """``tocsin``, ``floor`` or ``fastapi``."""
    folder: str = ""
    outcome: str = ""
    """File that gets ``Stages`` at the end."""
    rules: int = 200
    busiest_per_s: float = 40_000.0
    """Events per second of the busiest key, for the rules' bounds."""
    seed: int = 0
    settings: dict[str, Any] = {}


class Ready(msgspec.Struct, frozen=True):
    """What a caller needs."""

    key: str


class Stages(msgspec.Struct, frozen=True):
    """What the plane measured of itself, and what the host counted."""

    stages: list[dict[str, Any]]
    counters: dict[str, int]


class Host:
    """A server under measurement, started by ``with``."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.key = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        """Start it; returns when it listens."""
        command = [sys.executable, "-m", "benchmarks.http_host", msgspec.json.encode(self.spec).decode()]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE)
        line = _output(self._process).readline()
        if not line:
            raise RuntimeError(f"{self.spec.app} did not start; see above")
        self.key = msgspec.json.decode(line, type=Ready).key
        _listens(self.spec.port)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(120)
            _output(self._process).close()

    def cpu_s(self) -> float:
        """Return the processor time so far, in seconds: of all its threads, and of its child processes but ``HISTORY``.

        A child that has ended counts as long as it was waited for, as all of the server's are.
        """
        if self._process is None:
            raise RuntimeError("not started")
        return _cpu_s(self._process.pid)[0]

    def history_cpu_s(self) -> float:
        """Return the processor time of ``HISTORY`` so far, in seconds."""
        return _cpu_s(self._process.pid)[1] if self._process is not None else 0.0

    def settled_cpu_s(self) -> float:
        """Return the same once it has nothing left to do: what it writes behind its answers counts as well.

        It has compacted, too, what it was about to: nobody who is measured next shares the machine with that.
        """
        until = time.monotonic() + SETTLES_S
        before = self.cpu_s() + self.history_cpu_s()
        while time.monotonic() < until:
            time.sleep(0.5)
            now = self.cpu_s() + self.history_cpu_s()
            if now - before <= IDLE_S:
                break
            before = now
        return self.cpu_s()


def _cpu_s(process: int) -> tuple[float, float]:
    """Return the processor time of a process, its descendants, and those of them that ended and were waited for.

    Without those that run ``HISTORY``, and of these alone.
    """
    times: dict[int, int] = {}
    apart: set[int] = set()
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if HISTORY.encode() in (folder / "cmdline").read_bytes():
                apart.add(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            # It ended while the others were read.
            continue
        times[int(folder.name)] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [0, 0], [process]
    while waiting:
        one = waiting.pop()
        found[one in apart] += times.get(one, 0)
        waiting += children.get(one, [])
    return found[0] / TICK, found[1] / TICK


def _listens(port: int) -> None:
    until = time.monotonic() + STARTS_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    return process.stdout


def main(given: str) -> None:
    """Serve until SIGTERM."""
    spec = msgspec.json.decode(given, type=Spec)
    if spec.app == "tocsin":
        _tocsin(spec)
    else:
        _plain(spec)


def _tocsin(spec: Spec) -> None:
    book = rule_book(spec.rules, EXACT, busiest_per_s=spec.busiest_per_s, seed=spec.seed)
    desk = BenchDesk(EXACT, book, trained(EXACT))
    settings = load({"data_dir": spec.folder, "verdict_mode": "live", **spec.settings})
    tocsin = build(settings, desks=[desk], actuators=())
    tocsin.start()
    try:
        for name, values in LISTS.items():
            for value in values:
                tocsin.configure("tocsin.list", {"name": name, "value": value}, "benchmark").result(60)

        calm()

        def ready(web: Web) -> None:
            token, _ = web.accounts.make_key("bench", ["events", "verdicts"], shop="", who="benchmark")
            _say(token)

        serve(tocsin, "127.0.0.1", spec.port, ready=ready)
        if spec.outcome:
            Path(spec.outcome).write_bytes(msgspec.json.encode(_stages(tocsin)))
    finally:
        tocsin.stop()


def _stages(tocsin: Tocsin) -> Stages:
    return Stages(tocsin.plane.report(), dict(tocsin.host.counters))


def _say(key: str) -> None:
    print(msgspec.json.encode(Ready(key)).decode(), flush=True)


def _plain(spec: Spec) -> None:
    import uvicorn

    app: Any = _floor if spec.app == "floor" else _echo()
    config = configured(app, "127.0.0.1", spec.port)
    config.lifespan = "off"
    _say("none")
    asyncio.run(uvicorn.Server(config).serve())


async def _floor(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def _echo() -> Any:
    """Return an echo of CloudEvents as FastAPI's documentation would write it."""
    from datetime import datetime

    from fastapi import FastAPI
    from pydantic import BaseModel

    class CloudEvent(BaseModel):
        specversion: str
        id: str
        source: str
        type: str
        time: datetime
        data: dict[str, Any]

    app = FastAPI()

    async def echo(event: Any) -> Any:
        return event

    # Annotations are text in this module, and the class is not among its globals.
    echo.__annotations__ = {"event": CloudEvent, "return": CloudEvent}
    app.post("/v1/verdicts")(echo)
    return app


if __name__ == "__main__":
    main(sys.argv[1])
