"""The server: the hot path, the console API and the console behind one address."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from tocsin.errors import Misconfigured
from tocsin.server.accounts import Accounts
from tocsin.server.api import console_api
from tocsin.server.gauging import Gauge
from tocsin.server.intake import PATHS, Intake
from tocsin.server.metrics import Measures
from tocsin.server.protocol import Connection
from tocsin.server.shell import Shell
from tocsin.server.static import console_file, console_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from tocsin.app import Tocsin
    from tocsin.server.bodies import Receive, Scope, Send

SWITCH_S = 0.0005
"""So long one thread holds the interpreter while another waits: 5 ms, the default, is an eternity for a caller."""
OPEN_S = 10
"""How long answers under way may take after the order to stop."""
_API = ("/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics")


class Web:
    """One installation's web: raw intake for the machine doors, FastAPI for the API, files for everything else."""

    def __init__(self, tocsin: Tocsin, console: Path) -> None:
        self._console = console
        self.tocsin = tocsin
        self.accounts = Accounts(tocsin.records, tocsin.clock.now, session_hours=tocsin.settings.session_hours)
        self.measures = Measures()
        self.intake = Intake(tocsin, self.accounts, self.measures)
        self.measures.watch(self.intake.box)
        self.api = console_api()
        self.api.state.tocsin = tocsin
        self.api.state.accounts = self.accounts
        self.api.state.measures = self.measures
        self.api.state.gauge = Gauge(tocsin, self.measures.refused_by_code)
        self.api.state.started = True
        self._shell = Shell(self._route, tocsin.settings.trusted_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            # Verdicts are read through the API.
            path = scope["path"]
            if path in PATHS and (path == "/v1/events" or scope["method"] == "POST") and self._shell.trusts(scope):
                await self.intake(scope, receive, send)
                return
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await self._shell(scope, receive, send)

    def take(self, connection: Connection, cycle: RequestResponseCycle) -> bool:
        """Take a usual request for a verdict, to be answered without a task; see ``protocol.Taking``."""
        scope = cycle.scope
        return (
            scope["path"] == "/v1/verdicts"
            and scope["method"] == "POST"
            and self._shell.trusts(scope)  # type: ignore[arg-type]
            and self.intake.take(connection, cycle)
        )

    def close_streams(self) -> None:
        """End the live streams, so that a stop need not wait for readers who never leave."""
        for mailbox in list(self.api.state.mailboxes):
            mailbox.close()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and not path.startswith(_API):
            answer = await asyncio.to_thread(console_file, path, self._console)
            await answer(scope, receive, send)
        else:
            await self.api(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.intake.close()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(tocsin: Tocsin, *, console: Path | None = None) -> Web:
    """Return the ASGI app of a started installation; ``console`` is the folder of the built console."""
    return Web(tocsin, console or console_folder())


class _Server(uvicorn.Server):
    """Uvicorn that ends the live streams first when it is told to stop."""

    def __init__(self, config: uvicorn.Config, web: Web) -> None:
        super().__init__(config)
        self._web = web

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn's own handler raises the signal again at the end: the process would die before the house is closed.
        self._web.close_streams()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(tocsin: Tocsin, host: str, port: int, *, ready: Callable[[Web], Any] | None = None) -> None:
    """Serve a started installation until SIGTERM or SIGINT; answers under way get ``OPEN_S`` seconds.

    ``ready`` is called once with the app before the first request. Misconfigured where the port cannot be had.
    """
    web = create_app(tocsin)
    if ready is not None:
        ready(web)
    server = _Server(configured(web, host, port), web)
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        server.run()
    except SystemExit as error:
        # How uvicorn says that it cannot listen.
        message = f"nothing can listen on {host}:{port}; choose another address with --port or TOCSIN_PORT"
        raise Misconfigured(message) from error
    finally:
        sys.setswitchinterval(before)


def configured(web: Web, host: str, port: int) -> uvicorn.Config:
    """Return how the app is served: uvloop and httptools, no access log, no trust in forwarded addresses."""
    return uvicorn.Config(
        web,
        host=host,
        port=port,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than what clients keep idle connections for, so that none is reused while it is being closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=OPEN_S,
        backlog=2048,
    )
