"""The store's actuator door: signed wishes come in over HTTP and are obeyed (the protocol of ``actuators.webhook``)."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tocsin.twin.controls import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.twin.controls import Controls

log = logging.getLogger(__name__)
LARGEST = 65_536
REMEMBERED = 10_000


class Door:
    """Listens on loopback from ``start`` to ``stop``. ``attach`` says whose controls it moves and the time there.

    A repeated webhook-id gets the answer that it got first, and nothing happens twice.
    """

    def __init__(self, secret: str, port: int = 0) -> None:
        self._webhook = Webhook(secret)
        self._answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._controls: Controls | None = None
        self._now: Callable[[], int] = lambda: 0
        handler = type("Handler", (_Handler,), {"door": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="store-door", daemon=True)

    @property
    def url(self) -> str:
        """Where wishes are to be sent."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/actions"

    def attach(self, controls: Controls, now: Callable[[], int]) -> None:
        """Obey into these controls from now on."""
        with self._lock:
            self._controls, self._now = controls, now

    def start(self) -> Door:
        """Begin to listen."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and let go of the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def receive(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return (status, answer): 200 obeyed, 401 bad signature, 400 malformed, 422 cannot be obeyed, 503 not open."""
        try:
            self._webhook.verify(body, headers)
            message = msgspec.json.decode(body)
        except WebhookVerificationError as error:
            return 401, {"ok": False, "detail": f"signature: {error}"}
        except (msgspec.DecodeError, ValueError) as error:
            return 400, {"ok": False, "detail": f"body: {error}"}
        identity = headers.get("webhook-id", "")
        with self._lock:
            if identity in self._answers:
                return self._answers[identity]
            status, answer = self._obey(message)
            if status < 500:
                if len(self._answers) >= REMEMBERED:
                    del self._answers[next(iter(self._answers))]
                self._answers[identity] = (status, answer)
            return status, answer

    def _obey(self, message: Any) -> tuple[int, dict[str, Any]]:
        action = message.get("action") if isinstance(message, dict) else None
        if not isinstance(action, dict) or message.get("type") not in ("action.do", "action.undo"):
            return 400, {"ok": False, "detail": "expected {type: action.do|action.undo, action: {...}}"}
        if self._controls is None:
            return 503, {"ok": False, "detail": "the store is not open yet"}
        try:
            obey = self._controls.do if message["type"] == "action.do" else self._controls.undo
            reference = obey(action, self._now())
        except Refused as error:
            return 422, {"ok": False, "detail": str(error)}
        log.info("%s %s %s", message["type"], action.get("verb"), action.get("key") or action.get("target"))
        return 200, {"ok": True, "ref": reference}


class _Handler(BaseHTTPRequestHandler):
    door: Door
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        """Hand the body to the door."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            self._answer(413, {"ok": False, "detail": f"a body of at most {LARGEST} bytes is needed"})
            return
        body = self.rfile.read(int(length))
        self._answer(*self.door.receive(body, {name.lower(): value for name, value in self.headers.items()}))

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        payload = msgspec.json.encode(answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Leave ordinary requests out of standard error."""
        log.debug(format, *args)
