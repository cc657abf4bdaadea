"""Hands: calls to actuators, each in a small pool of its own, so that a stuck one blocks nobody."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from tocsin.core.action import Action, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.core.ports import Actuator

AT_ONCE = 4
"""Calls that one actuator may have under way."""


class Hands:
    """Does and undoes actions through the first actuator that knows the verb.

    ``back(action, what, receipt)`` is called once for every call, in a thread of the pool; ``busy`` counts calls under
    way. A call that raises is a failure that may pass: the shop may have seen it, and the same identity goes again.
    """

    def __init__(
        self,
        actuators: Sequence[Actuator],
        reveal: Callable[[Action], Mapping[str, str]],
        back: Callable[[Action, str, Receipt], None],
    ) -> None:
        self._actuators = actuators
        self._reveal = reveal
        self._back = back
        self._pools = {a.name: ThreadPoolExecutor(AT_ONCE, thread_name_prefix=a.name) for a in actuators}

    def call(self, action: Action, what: str) -> None:
        """Begin to ``do`` or ``undo`` an action; returns at once."""
        actuator = next((a for a in self._actuators if action.verb in a.verbs), None)
        if actuator is None:
            detail = f"no actuator does {action.verb}; connect one in the settings"
            self._back(action, what, Receipt(ok=False, detail=detail))
            return

        def run() -> Receipt:
            return actuator.do(action, self._reveal(action)) if what == "do" else actuator.undo(action)

        def done(future: Future[Receipt]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            broken = Receipt(ok=False, detail=f"{type(error).__name__}: {error}", retry=True)
            self._back(action, what, broken if error is not None else future.result())

        self._pools[actuator.name].submit(run).add_done_callback(done)

    def stop(self) -> None:
        """Let calls under way go on, and begin no more; what has no receipt is called again at the next start."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
