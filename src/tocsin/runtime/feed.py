"""Feed: who listens learns what changed, and fetches it. Never a source of truth, so a slow listener may lose news."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[[dict[str, Any]], None]


class Feed:
    """Fan-out of small notices ``{"topic", "id", "version"}`` to listeners, called in the publisher's thread.

    A listener must return at once (hand the notice to its own loop); one that raises is dropped.
    """

    def __init__(self) -> None:
        self._listeners: dict[int, Listener] = {}
        self._next = 0
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for every notice from now on; the result ends that."""
        with self._lock:
            self._next += 1
            number = self._next
            self._listeners[number] = listener

        def leave() -> None:
            with self._lock:
                self._listeners.pop(number, None)

        return leave

    def publish(self, topic: str, id: str, version: int = 0) -> None:
        """Tell every listener; returns at once."""
        with self._lock:
            listeners = list(self._listeners.items())
        for number, listener in listeners:
            try:
                listener({"topic": topic, "id": id, "version": version})
            except RuntimeError:  # the listener's loop has been closed
                with self._lock:
                    self._listeners.pop(number, None)
