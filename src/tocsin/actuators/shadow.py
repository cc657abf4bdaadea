"""The shadow actuator: does nothing and records what would have been done."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.action import VERBS, Action, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Entry(msgspec.Struct, frozen=True):
    """One thing that would have been done: ``what`` is ``do`` or ``undo``, ``key`` the clear key where it was given."""

    what: str
    action: Action
    key: str


class ShadowActuator:
    """Records wishes in memory, the newest ``keep`` of them; every call succeeds. Safe to share between threads."""

    def __init__(self, verbs: Iterable[str] = VERBS, *, keep: int = 10_000, name: str = "shadow") -> None:
        self.name = name
        self.verbs = frozenset(verbs)
        self._keep = keep
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was recorded, oldest first; each action's do and undo at most once."""
        with self._lock:
            return tuple(self._entries.values())

    def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
        """Record the wish; a repeated call adds nothing."""
        return self._record("do", action, sealed.get("key", ""))

    def undo(self, action: Action) -> Receipt:
        """Record that it would have been taken back; a repeated call adds nothing."""
        return self._record("undo", action, "")

    def _record(self, what: str, action: Action, key: str) -> Receipt:
        ref = f"{action.id}.{what}"
        with self._lock:
            self._entries.setdefault(ref, Entry(what, action, key))
            while len(self._entries) > self._keep:
                self._entries.popitem(last=False)
        return Receipt(ok=True, ref=ref, detail="shadow")
