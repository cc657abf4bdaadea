"""Child: a forked process that writes down the memory as it was, and is heard of through a pipe."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NICE = 5
"""The child gives way to those who answer callers."""
_PR_SET_PDEATHSIG = 1


class Child:
    """A child that does ``work(hear)`` and says what that returns; OSError where there can be none.

    ``hear()`` waits for what it is told, empty where nothing will come. ``work`` must not wait for any other thread of
    this process: none is there. It ends with its parent.
    """

    def __init__(self, work: Callable[[Callable[[], bytes]], str]) -> None:
        heard, told = os.pipe()
        given, giving = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            for end in (heard, told, given, giving):
                os.close(end)
            raise
        if not self._pid:
            _live(work, told, given)
        os.close(told)
        os.close(given)
        self._heard, self._giving = heard, giving

    def tell(self, what: bytes) -> None:
        """Tell it what it waits for, once; empty: it need not wait any longer."""
        try:
            with os.fdopen(self._giving, "wb") as pipe:
                pipe.write(what)
        except BrokenPipeError:
            # It has gone: its end says the rest.
            pass

    def end(self) -> tuple[str, int]:
        """Wait for its end; return what it said, empty where it did not come to that, and its status."""
        with os.fdopen(self._heard, "rb") as pipe:
            said = pipe.read().decode()
        return said, os.waitpid(self._pid, 0)[1]


def _live(work: Callable[[Callable[[], bytes]], str], told: int, given: int) -> None:
    code = 1
    try:
        gc.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        low, high = sorted((told, given))
        # The locks of journal and records, and the server's sockets, are the parent's.
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        os.nice(NICE)

        def hear() -> bytes:
            with os.fdopen(given, "rb") as pipe:
                return pipe.read()

        os.write(told, work(hear).encode())
        code = 0
    finally:
        # Never back into the server's code, whatever happened.
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)
