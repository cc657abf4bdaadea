"""The store's line to Tocsin: events and questions over HTTP, one kept connection."""

from __future__ import annotations

import http.client
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from tocsin.core.signal import Decision
from tocsin.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
BATCH = 500
KEPT = 20_000
"""So many events are kept while Tocsin does not answer; older ones are dropped and counted."""
ATTEMPTS = 5
LONGEST_WAIT_S = 5.0


class Line:
    """Speaks to one Tocsin. Not shared between threads; ``close`` lets go of the connection.

    Parameters
    ----------
    base_url
        ``http://host:port``.
    key
        API key with the scopes ``events``, ``verdicts`` and ``read``.
    patient
        Whether a Tocsin that does not answer or take events is waited for (the live demo) or an error (drills).
    wait
        Called with seconds between attempts.
    """

    def __init__(
        self, base_url: str, key: str, *, patient: bool = False, wait: Callable[[float], object] = time.sleep
    ) -> None:
        parts = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=30.0)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[dict[str, Any]] = []
        self._patient = patient
        self._wait = wait
        self.before_send: Callable[[], object] = lambda: None
        self.sent = self.refused = self.dropped = self.unanswered = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Keep an event until the next ``flush``."""
        self._waiting.append(event)

    def ask(self, event: dict[str, Any]) -> Decision:
        """Send what waits, then ask for a verdict; ``allow`` where Tocsin does not answer (the demo fails open)."""
        if not self.flush():
            self.unanswered += 1
            self._waiting.append(event)
            return Decision.ALLOW
        status, answer = self._send("POST", "/v1/verdicts", event, "application/cloudevents+json")
        if status == 200:
            return Decision(answer["decision"])
        self.unanswered += 1
        log.warning("no verdict (%s): %s", status, answer.get("detail", ""))
        return Decision.ALLOW

    def flush(self, *, settled: bool = False) -> bool:
        """Send everything that waits; return whether Tocsin took it.

        With ``settled`` the last request is answered when everything is folded and every action taken.
        """
        while self._waiting or settled:
            batch = self._waiting[:BATCH]
            last = settled and len(batch) == len(self._waiting)
            path = "/v1/events?wait=settled" if last else "/v1/events"
            status, answer = self._send("POST", path, batch, "application/cloudevents-batch+json")
            if status != 202 and not self._patient:
                raise Retryable(f"Tocsin does not take events: {status} {answer.get('detail', '')}")
            if status != 202:
                log.warning("events not taken (%s): %s", status, answer.get("detail", ""))
                lost = len(self._waiting) - KEPT
                if lost > 0:
                    self.dropped += lost
                    del self._waiting[:lost]
                return False
            del self._waiting[: len(batch)]
            self.sent += len(batch)
            refused = answer.get("refused", [])
            self.refused += len(refused)
            for one in refused[:3]:
                log.warning("refused: %s", one)
            settled = settled and not last
        return True

    def incidents(self) -> list[dict[str, Any]]:
        """Return every incident that Tocsin has, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            status, page = self._send("GET", f"/v1/incidents?limit=100{after}", None, "")
            if status != 200:
                raise Retryable(f"GET /v1/incidents: {status} {page.get('detail', '')}")
            found += page["items"]
            if not page.get("next"):
                return found
            after = f"&after={page['next']}"

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: object, content: str) -> tuple[int, dict[str, Any]]:
        """Return (status, decoded answer); status 0 where there was none and ``patient`` allows it."""
        payload = self._encoder.encode(body) if body is not None else None
        headers = {**self._headers, "Content-Type": content} if content else self._headers
        self.before_send()
        reason = "no attempt was made"
        for attempt in range(ATTEMPTS):
            try:
                self._connection.request(method, path, payload, headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = f"{type(error).__name__}: {error}"
                self._wait(0.2 * 2**attempt)
                continue
            if response.status in (429, 503) and attempt + 1 < ATTEMPTS:
                self._wait(min(float(response.getheader("Retry-After") or 1.0), LONGEST_WAIT_S))
                continue
            return response.status, _decoded(answer)
        if self._patient:
            return 0, {"detail": reason}
        raise Retryable(f"Tocsin does not answer: {reason}")


def _decoded(answer: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return {"detail": answer[:200].decode("utf-8", "replace")}
    return value if isinstance(value, dict) else {"detail": value}
