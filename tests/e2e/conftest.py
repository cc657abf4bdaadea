"""A real server with real events, and a signed-in browser; skipped by name where there is no chromium or no console."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tocsin.server.static import console_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, StorageState

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "correct horse battery staple"
WIDTHS = {1280: 860, 390: 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share one server: one worker runs them, and none runs where one of its needs is missing."""
    for item in items:
        if Path(__file__).parent not in item.path.parents or "house" not in getattr(item, "fixturenames", ()):
            continue
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.xdist_group("e2e"))
        if not CHROMIUM:
            item.add_marker(pytest.mark.skip(reason="no chromium is installed"))
        elif not (console_folder() / "index.html").is_file():
            item.add_marker(pytest.mark.skip(reason="the console is not built: run make setup"))


class House:
    """A running server, how to sign in, and a client of its API."""

    def __init__(self, address: str, first_password: str) -> None:
        self.address = address
        self.first_password = first_password
        self.client = httpx.Client(base_url=address, timeout=20)

    def sign_in(self) -> None:
        """Sign the client in once the first password has been changed."""
        answer = self.client.post("/v1/session", json={"user": "admin", "password": PASSWORD})
        answer.raise_for_status()
        self.client.headers["x-csrf-token"] = answer.json()["csrf"]

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a GET."""
        answer = self.client.get(path, params=params)
        answer.raise_for_status()
        return answer.json()

    def send(self, events: list[dict[str, Any]], key: str) -> dict[str, Any]:
        """Send events as a shop does."""
        answer = httpx.post(
            f"{self.address}/v1/events",
            json=events,
            headers={"authorization": f"Bearer {key}", "content-type": "application/cloudevents-batch+json"},
            timeout=20,
        )
        return dict(answer.json())

    def ask(self, one: dict[str, Any], key: str) -> dict[str, Any]:
        """Ask for the verdict of one event, as a checkout does."""
        answer = httpx.post(
            f"{self.address}/v1/verdicts", json=one, headers={"authorization": f"Bearer {key}"}, timeout=20
        )
        answer.raise_for_status()
        return dict(answer.json())

    def until(self, path: str, wanted: Any, **params: Any) -> Any:
        """Return the JSON of a path as soon as ``wanted`` is true of it."""
        deadline = time.monotonic() + 30
        while True:
            found = self.get(path, **params)
            if wanted(found) or time.monotonic() > deadline:
                assert wanted(found), f"{path} never came to it: {str(found)[:400]}"
                return found
            time.sleep(0.2)


def event(type: str, data: dict[str, Any], seconds_ago: float = 0.0) -> dict[str, Any]:
    """Return a CloudEvent of the shop."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "shop",
        "type": type,
        "time": moment.isoformat(),
        "data": data,
    }


def payment(number: int, device: str, ip: str, status: str, seconds_ago: float) -> dict[str, Any]:
    """Return a payment of a card of its own."""
    card = f"{device}-card-{number}"
    body = {
        "amount": 300 + number,
        "currency": "CNY",
        "payment": f"p-{device}-{number}",
        "account": f"{device}-account",
        "device": device,
        "ip": ip,
        "card": card,
        "gateway": "alipay",
        "status": status,
    }
    return event("payment.attempted", body, seconds_ago)


def card_testing(device: str, ip: str) -> list[dict[str, Any]]:
    """Return a minute of stolen cards tried from one device."""
    return [payment(number, device, ip, "declined", 60 - 4 * number) for number in range(12)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """``tocsin up`` in a fresh folder, as a person starts it."""
    port, folder = _free_port(), tmp_path_factory.mktemp("house")
    said = folder / "said.txt"
    command = [sys.executable, "-m", "tocsin", "up", "--data-dir", str(folder / "data"), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    with (
        said.open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as server,
    ):
        try:
            address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
            while True:
                assert server.poll() is None, said.read_text()
                assert time.monotonic() < deadline, f"the server is not up: {said.read_text()}"
                try:
                    if httpx.get(f"{address}/healthz", timeout=2).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            secret = re.search(r"first password[^:]*: (\S+)", said.read_text())
            assert secret, said.read_text()
            house = House(address, secret[1])
            yield house
            house.client.close()
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="session")
def browser(house: House) -> Iterator[Browser]:
    """Debian's chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(house: House, browser: Browser) -> StorageState:
    """Sign in with the first password, change it as the console asks, and seed the shop's trouble."""
    page = browser.new_page(locale="en-GB")
    page.goto(house.address)
    page.fill("input[name=password]", house.first_password)
    page.click("button[type=submit]")
    page.fill("input[name=old]", house.first_password)
    page.fill("input[name=new]", PASSWORD)
    page.fill("input[name=again]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("nav.rail")
    state = page.context.storage_state()
    page.context.close()
    house.sign_in()
    _seed(house)
    return state


def _seed(house: House) -> None:
    answer = house.client.post("/v1/keys", json={"name": "e2e", "scopes": ["events", "verdicts"]})
    answer.raise_for_status()
    key = answer.json()["secret"]
    bad = payment(0, "bad-device", "192.0.2.9", "succeeded", 1)
    bad["data"]["amount"] = "12,99"
    for number in range(20):
        house.ask(payment(number, f"home-{number}", f"192.0.2.{number + 20}", "succeeded", 0), key)
    sent = house.send([payment(0, "quiet", "192.0.2.8", "succeeded", 1), bad], key)
    assert (sent["accepted"], len(sent["refused"])) == (1, 1), sent
    sent = house.send(
        [*card_testing("first-device", "203.0.113.7"), *card_testing("second-device", "203.0.113.80")], key
    )
    assert sent["accepted"] == 24, sent
    house.until("/v1/incidents", lambda found: found["items"])
    house.until("/v1/actions", lambda found: len(found["items"]) >= 4, state="suggested,asked")
    house.until("/v1/verdicts", lambda found: len(found["items"]) >= 22, limit=100)


class Watched:
    """A page with what went wrong on it: errors on the console, exceptions, failed requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("console", lambda message: self.troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))


@pytest.fixture
def open_page(house: House, browser: Browser, signed_in: StorageState) -> Iterator[Any]:
    """Return a function that opens an address signed in, in a language, theme and width, and watches it."""
    contexts: list[BrowserContext] = []
    opened: list[Watched] = []

    def opener(path: str, *, language: str = "en", theme: str = "light", width: int = 1280) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": WIDTHS[width]}, storage_state=signed_in, reduced_motion="reduce"
        )
        contexts.append(context)
        context.add_init_script(
            f"localStorage['tocsin.language'] ??= '{language}'; localStorage['tocsin.theme'] ??= '{theme}'"
        )
        watched = Watched(context.new_page())
        opened.append(watched)
        watched.page.goto(house.address + path)
        watched.page.wait_for_selector("main h1")
        return watched

    yield opener
    troubles = [trouble for watched in opened for trouble in watched.troubles]
    for context in contexts:
        context.close()
    assert not troubles
