"""A real server on 127.0.0.1 over a real house in memory, with one small desk."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import numpy as np
import pytest
import uvicorn

from tocsin.app import Tocsin, build
from tocsin.config import Settings, load
from tocsin.core.desk import Batch, Bucket, Features, Judgement, Labelled, Miss, Rule
from tocsin.core.playbook import Playbook, playbook_from
from tocsin.core.signal import Decision, Mode, Signal, Text, signal_id
from tocsin.runtime.clock import SystemClock
from tocsin.server.main import Web, configured, create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.core.records import Role

PASSWORD = "correct horse battery"
SIGNAL_AMOUNT = 66_600


class Till:
    """A desk: large payments are held, a payment of exactly ``SIGNAL_AMOUNT`` is a signal about its item."""

    name = "till"
    version = 1
    reads = ("payment.attempted",)
    windows = ()
    series = ()
    deadlines = ()
    rules = (
        Rule(
            id="till-large",
            when="data.amount >= 100000",
            decision=Decision.HOLD,
            code="large",
            text=Text("A large payment", "大额付款"),
            mode=Mode.LIVE,
        ),
    )
    kinds: ClassVar = {"odd-amount": Text("Odd amount", "异常金额")}

    def judge(self, batch: Batch, features: Features) -> Judgement:
        amounts = batch.column("amount")
        signals = []
        for row in np.flatnonzero(amounts.present & (amounts.values == SIGNAL_AMOUNT)):
            event = batch.events[int(row)]
            subject = f"sku:{event.data['sku']}"
            signal = Signal(
                id=signal_id("till", "odd-amount", event.shop, subject, event.tau),
                desk="till",
                kind="odd-amount",
                shop=event.shop,
                subject=subject,
                score=0.9,
                onset=event.tau,
                tau=event.tau,
                entities={"sku": event.data["sku"]},
            )
            signals.append((int(row), signal))
        return Judgement(scores=np.full(batch.n, np.nan), signals=signals)

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        return ()

    def learn(self, labelled: Labelled) -> None:
        return None

    def with_model(self, artefact: bytes | None) -> Till:
        return self

    def playbooks(self) -> Sequence[Playbook]:
        step = {"verb": "sku.pause", "target": "${incident.entities.sku}", "ttl_s": 600}
        title = {"en": "Pause the item", "zh": "暂停该商品"}
        return (playbook_from({"name": "pause", "title": title, "on": ["odd-amount"], "steps": [step]}),)


class Movable(SystemClock):
    """The machine's clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


@dataclass
class Browser:
    """A signed-in browser: cookie and CSRF token."""

    http: httpx.Client
    csrf: str = ""

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def send(self, method: str, path: str, json: Any = None) -> httpx.Response:
        return self.http.request(method, path, json=json, headers={"X-CSRF-Token": self.csrf})


@dataclass
class Site:
    """A running server and the house behind it."""

    tocsin: Tocsin
    web: Web
    url: str
    clock: Movable
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict)
    _browsers: dict[str, Browser] = field(default_factory=dict)
    _number: int = 0

    def client(self, key: str = "") -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=20, verify=False
        )

    def key(self, *scopes: str) -> str:
        scopes = scopes or ("events", "verdicts")
        if scopes not in self._keys:
            self._keys[scopes], _ = self.web.accounts.make_key("test", scopes, shop="shop", who="test")
        return self._keys[scopes]

    def machine(self, *scopes: str) -> httpx.Client:
        return self.client(self.key(*scopes))

    def browser(self, role: Role) -> Browser:
        """Return a browser of a person of this role who has changed the first password."""
        if role.value not in self._browsers:
            secret = self.web.accounts.add(role.value, role, who="test")
            browser = Browser(self.client())
            signed = browser.send("POST", "/v1/session", {"user": role.value, "password": secret})
            browser.csrf = signed.json()["csrf"]
            changed = browser.send("POST", "/v1/session/password", {"old": secret, "new": PASSWORD})
            assert changed.status_code == 200, changed.text
            self._browsers[role.value] = browser
        return self._browsers[role.value]

    def payment(self, **data: Any) -> dict[str, Any]:
        """Return a fresh payment event of now."""
        self._number += 1
        return {
            "specversion": "1.0",
            "id": f"p{self._number}",
            "source": "till",
            "type": "payment.attempted",
            "time": self.clock.now(),
            "data": {
                "amount": 1299,
                "currency": "CNY",
                "card": f"card-{self._number}",
                "sku": f"sku-{self._number}",
                **data,
            },
        }


@contextmanager
def serving(settings: Settings, **more: Any) -> Iterator[Site]:
    clock = Movable()
    tocsin = build(settings, clock=clock, desks=[Till()], **more)
    tocsin.start()
    web = create_app(tocsin)
    server = uvicorn.Server(configured(web, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    site = Site(tocsin, web, f"http://127.0.0.1:{port}", clock)
    yield site
    for browser in site._browsers.values():
        browser.http.close()
    web.close_streams()
    server.should_exit = True
    thread.join(10)
    tocsin.stop()


def eventually(law: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Return the law's value once it is true; it must be within the time."""
    end = time.monotonic() + timeout_s
    while not (value := law()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = str(tmp_path_factory.mktemp("data"))
    values = {"shop": "shop", "data_dir": folder, "verdict_mode": "live", "max_event_bytes": 20_000, "dead_letters": 50}
    values |= {"max_request_bytes": 200_000, "verdict_deadline_ms": 5000}
    with serving(load(values, {}), memory=True) as found:
        yield found
