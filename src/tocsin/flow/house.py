"""The house's own windows: declared by people while the stream is under way, read by the rules of no desk.

A new window is missing until it is warm: until it has seen all that it reaches back to, or until a background job has
read the past for it and the journal says so (``tocsin.warm``). From there on it is as if it had been there from the
start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.desk import Ratio, Window
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tocsin.core.desk import Desk
    from tocsin.flow.batch import PlainBatch
    from tocsin.flow.engine import Engine
    from tocsin.flow.rules import RuleSet

    History = Callable[[int, int], Iterable[PlainBatch]]

MOST = 200
"""Windows that people may declare."""


class House:
    """The windows of the desks, by their names, and those that people have declared beside them.

    ``history(after_tau, before_seq)`` gives the journal's events as batches; without it a window warms by itself.
    """

    def __init__(self, desks: Sequence[Desk], engine: Engine, rules: RuleSet) -> None:
        self._engine = engine
        self._rules = rules
        self._reads = tuple(dict.fromkeys([*(kind for desk in desks for kind in desk.reads), *VOCABULARY]))
        self._fixed = {w.fingerprint() for desk in desks for w in desk.windows if isinstance(w, Window)}
        self._desks = tuple({w.name: w for desk in reversed(desks) for w in reversed(desk.windows)}.values())[::-1]
        self.own: tuple[Window, ...] = ()
        self.windows: tuple[Window | Ratio, ...] = self._desks
        """What rules of no desk read: the first of each name counts."""
        self.history: History | None = None
        self._prepared: dict[tuple[str, ...], Any] = {}

    def check(self, documents: Any) -> tuple[Window, ...]:
        """Return windows from plain values; Misconfigured says what is wrong with which."""
        try:
            windows = msgspec.convert(documents, tuple[Window, ...])
        except msgspec.ValidationError as error:
            raise Misconfigured(f"windows: {error}") from error
        if len(windows) > MOST:
            raise Misconfigured(f"windows: at most {MOST} can be declared")
        taken = {window.name for window in self._desks}
        for window in windows:
            if window.name in taken:
                raise Misconfigured(f"window {window.name}: there is one of that name already")
            if not window.name.isidentifier():
                raise Misconfigured(f"window {window.name!r}: a name is letters, digits and underscores")
            taken.add(window.name)
        self._engine.fresh_windows().declare(windows, self._reads)
        return windows

    def declare(self, documents: Any) -> None:
        """Put other windows beside those of the desks: those known already keep their state, the others lose it."""
        windows = self.check(documents)
        kept = self._fixed.union(window.fingerprint() for window in windows)
        self._engine.windows.withdraw(window for window in self.own if window.fingerprint() not in kept)
        self._engine.windows.declare(windows, self._reads)
        self.own, self.windows = windows, (*self._desks, *windows)
        self._rules.house = {window.name for window in windows}

    def cold(self) -> tuple[Window, ...]:
        """Return the windows that have not seen all that they reach back to."""
        windows, tau = self._engine.windows, self._engine.windows.tau
        return tuple(window for window in self.own if windows.warm[windows.slots[window.fingerprint()]] > tau)

    def fresh(self, windows: Sequence[Window]) -> Any:
        """Return the state of these windows before the first event, to be fed with the past."""
        state = self._engine.fresh_windows()
        state.declare(windows, self._reads)
        return state

    def prepare(self, windows: Sequence[Window], state: Any) -> None:
        """Keep a state that has been fed up to the last folded event, for the ``tocsin.warm`` that comes next."""
        self._prepared[tuple(window.name for window in windows)] = state

    def adopt(self, names: Any, seq: int) -> None:
        """Take up the past of windows, as it was before event ``seq``; nothing happens where it cannot be had."""
        named = tuple(names) if isinstance(names, list) else ()
        windows = tuple(window for window in self.own if window.name in named)
        state = self._prepared.pop(named, None)
        if state is None:
            if self.history is None or not windows:
                return
            state = self.fresh(windows)
            reach = max(_reach(window) for window in windows)
            for batch in self.history(self._engine.windows.tau - reach, seq):
                state.step(batch)
        if state.tau == self._engine.windows.tau:
            self._engine.windows.adopt(state)

    def documents(self) -> list[Any]:
        """Return the declared windows as plain values."""
        return [msgspec.to_builtins(window) for window in self.own]

    def canonical(self) -> list[str]:
        """Return the declared windows in one form."""
        return [repr(window) for window in self.own]


def _reach(window: Window) -> int:
    from tocsin.flow.view import reach

    return reach(window)
