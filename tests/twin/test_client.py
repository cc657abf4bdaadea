"""The store's line to Tocsin: order, batches, patience."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tocsin.core.signal import Decision
from tocsin.errors import Retryable
from tocsin.twin import live
from tocsin.twin.client import BATCH, Line

if TYPE_CHECKING:
    from collections.abc import Iterator


class Desk:
    """A stand-in for Tocsin's doors that keeps what it is sent; the first ``busy`` requests are answered 429."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.busy = 0
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
                if desk.busy:
                    desk.busy -= 1
                    self.answer(429, {"detail": "busy"})
                    return
                desk.heard.append((self.path, body))
                verdicts = self.path == "/v1/verdicts"
                self.answer(*((200, {"decision": "hold"}) if verdicts else (202, {"accepted": len(body)})))

            def answer(self, status: int, body: dict[str, Any]) -> None:
                payload = msgspec.json.encode(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.send_header("Retry-After", "0.5")
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    found.thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def line(desk: Desk, waits: list[float]) -> Iterator[Line]:
    opened = Line(desk.url, "key", wait=waits.append)
    yield opened
    opened.close()


def test_everything_heard_before_a_question_is_sent_before_it(desk: Desk, line: Line) -> None:
    """Two events and a question arrive as one batch and one question, and the answer is the served decision."""
    line.hear({"id": "1"})
    line.hear({"id": "2"})
    assert line.ask({"id": "3"}) is Decision.HOLD
    assert desk.heard == [("/v1/events", [{"id": "1"}, {"id": "2"}]), ("/v1/verdicts", {"id": "3"})]


def test_only_the_last_batch_waits_until_all_is_settled(desk: Desk, line: Line) -> None:
    """One event more than a batch makes two requests; with nothing to send the settling request still goes out."""
    for number in range(BATCH + 1):
        line.hear({"id": str(number)})
    assert line.flush(settled=True)
    assert line.flush(settled=True)
    assert [(path, len(body)) for path, body in desk.heard] == [
        ("/v1/events", BATCH),
        ("/v1/events?wait=settled", 1),
        ("/v1/events?wait=settled", 0),
    ]


def test_a_busy_tocsin_is_asked_again_after_the_time_that_it_names(desk: Desk, line: Line, waits: list[float]) -> None:
    """Two answers of 429 with Retry-After 0.5: two waits of half a second, nothing is lost."""
    desk.busy = 2
    line.hear({"id": "1"})
    assert line.flush()
    assert waits == [0.5, 0.5]
    assert desk.heard == [("/v1/events", [{"id": "1"}])]


def test_a_silent_tocsin_ends_a_drill_but_not_the_demo(desk: Desk) -> None:
    """Retryable for a drill; the patient line keeps the events and lets payments pass."""
    desk.server.shutdown()
    desk.server.server_close()
    strict = Line(desk.url, "key", wait=lambda seconds: None)
    strict.hear({"id": "1"})
    with pytest.raises(Retryable):
        strict.flush()
    patient = Line(desk.url, "key", patient=True, wait=lambda seconds: None)
    patient.hear({"id": "1"})
    assert patient.ask({"id": "2"}) is Decision.ALLOW
    assert patient.unanswered == 1
    assert not patient.flush()


def test_the_live_demo_sends_events_and_stops_when_told(desk: Desk) -> None:
    """Three seconds of a busy demo reach Tocsin with times of now, and everything is closed afterwards."""
    live.run(desk.url, "key", "whsec_" + "QUJD" * 8, 0, speed=20.0, seconds=3.0)
    events = [event for path, body in desk.heard if path == "/v1/events" for event in body]
    assert len(events) > 20
    assert len({event["id"] for event in events}) == len(events)
