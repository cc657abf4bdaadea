"""A real Tocsin for drills: in memory, on the data's clock, on auto, behind its own HTTP server on loopback.

The store meets it like anywhere else: events and verdicts over HTTP, actions through the signed webhook.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from tocsin.app import build
from tocsin.config import Settings
from tocsin.core.records import Limit
from tocsin.errors import Misconfigured
from tocsin.runtime.clock import DataClock
from tocsin.server.accounts import Accounts
from tocsin.server.main import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.app import Tocsin
    from tocsin.core.desk import Desk

STARTS_WITHIN_S = 20.0
ANSWERS_WITHIN_S = 20.0
PATIENT_MS = 10_000
"""Deadline of a verdict in a drill: simulated time stands still while one is computed."""


class Running:
    """One running Tocsin as a drill needs it."""

    def __init__(self, tocsin: Tocsin, clock: DataClock, base_url: str, key: str) -> None:
        self.base_url = base_url
        self.key = key
        self.tocsin = tocsin
        self._clock = clock

    def observe(self, moment: int) -> None:
        """Let its clock move on."""
        self._clock.observe(moment)

    def go_live(self) -> None:
        """Serve verdicts from now on."""
        self.tocsin.configure("tocsin.mode", {"verdict_mode": "live"}, "drill").result(ANSWERS_WITHIN_S)

    def pseudonym(self, entity: str, key: str) -> str:
        """Return the name under which it knows an entity."""
        return self.tocsin.vault.pseudonym(self.tocsin.settings.shop, entity, key)


@contextmanager
def opened(door_url: str, secret: str, begin: int, *, desks: Sequence[Desk] | None = None) -> Iterator[Running]:
    """Start a Tocsin that acts through the store's door, its clock at ``begin``; stop it when the context ends.

    ``desks`` replaces the catalogue, for trials of a single desk.
    """
    settings = Settings(
        automation="auto",
        verdict_mode="shadow",
        verdict_deadline_ms=PATIENT_MS,
        demo_url=door_url,
        webhook_secret=secret,
    )
    clock = DataClock(begin)
    tocsin = build(settings, clock=clock, memory=True, demo=True, desks=desks)
    limits = tocsin.records.table(Limit)
    for playbook in tocsin.playbooks():
        key = f"playbook:{playbook.name}"
        limits.put(Limit(id=f"automation/{key}", kind="automation", key=key, word="auto", by="drill"))
    token, _ = Accounts(tocsin.records, clock.now).make_key(
        "drill", ("events", "verdicts", "read"), shop=settings.shop, who="drill"
    )
    tocsin.start()
    try:
        with _served(tocsin) as base_url:
            yield Running(tocsin, clock, base_url, token)
    finally:
        tocsin.stop()


@contextmanager
def _served(tocsin: Tocsin) -> Iterator[str]:
    """Serve on a free port of loopback in a thread of its own; yield the base address."""
    config = uvicorn.Config(
        create_app(tocsin),
        host="127.0.0.1",
        port=0,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="drill-server", daemon=True)
    thread.start()
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Misconfigured("the drill's server did not start on loopback; is a local port free?")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STARTS_WITHIN_S)
