"""Snapshotting: the state of the host is written beside its work, and read again at the start.

A snapshot is taken between two cycles: everything stamped so far has been folded. A small state is copied and written
by a thread; a large one is written by a forked child, which sees the memory as it was: the host pauses for the fork
alone. It is put in place only when everything that was derived up to then is on disk, so a start that begins with it
lacks nothing.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from tocsin.flow.state import restore_into, state_of
from tocsin.runtime.outbox import Parcel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Protocol

    import numpy as np

    from tocsin.runtime.embedded import EmbeddedHost

    class Snapshots(Protocol):
        """Where snapshots lie (``ledger.snapshots``)."""

        def save(self, seq: int, tau: int, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
            """Write a snapshot under a passing name."""
            ...

        def publish(self, path: Path) -> Path:
            """Put a saved snapshot in place."""
            ...

        def newest(self, *, most_seq: int) -> Any:
            """Return the newest whole snapshot up to that seq, or None."""
            ...


SMALL_BYTES = 32_000_000
"""A state up to this size is copied: that takes a few milliseconds."""
PARTS = ("fold", "ids", "views")
_PR_SET_PDEATHSIG = 1
log = logging.getLogger(__name__)


class Snapshotter:
    """Takes snapshots of one host. ``look`` is called by the host between two cycles.

    Parameters
    ----------
    every_s, every_events
        A snapshot is due when so much time and at least one event, or so many events, have passed since the last one.
    put_in_place
        Called with the seq of each snapshot that is in place.
    """

    def __init__(
        self,
        host: EmbeddedHost,
        store: Snapshots,
        *,
        every_s: float,
        every_events: int,
        put_in_place: Callable[[int], None],
    ) -> None:
        self._host = host
        self._store = store
        self._every_s = every_s
        self._every_events = every_events
        self._put_in_place = put_in_place
        self._seq = 0
        self._at = time.monotonic()
        self._busy = threading.Event()
        self.taken = self.failed = 0
        self.pause_s = 0.0
        """How long the last snapshot held up the host."""
        self.bytes = 0
        """Size of the arrays of the last snapshot."""

    def look(self) -> None:
        """Take a snapshot where one is due."""
        events = self._host.stamper.seq - self._seq
        if events and not self._busy.is_set():
            late = time.monotonic() - self._at >= self._every_s
            if late or events >= self._every_events:
                self.take()

    def take(self) -> threading.Thread:
        """Take a snapshot now; the thread ends when it is written (not yet when it is in place)."""
        began = time.perf_counter()
        self._busy.set()
        host = self._host
        self._seq, self._at = host.stamper.seq, time.monotonic()
        meta, arrays = self._state()
        self.bytes = sum(array.nbytes for array in arrays.values())
        place = (host.stamper.seq, host.stamper.tau)
        if self.bytes <= SMALL_BYTES:
            copied = {name: array.copy() for name, array in arrays.items()}
            thread = threading.Thread(target=self._write, args=(*place, meta, copied), name="snapshot", daemon=True)
        else:
            child = self._forked(*place, meta, arrays)
            thread = threading.Thread(target=self._await, args=(*place, child), name="snapshot", daemon=True)
        self.pause_s = time.perf_counter() - began
        thread.start()
        return thread

    def finish(self) -> None:
        """Take a last snapshot and put it in place; the host has stopped and all is on disk."""
        if self._host.stamper.seq == self._seq or self._host.refusing:
            return
        meta, arrays = self._state()
        try:
            path = self._store.save(self._host.stamper.seq, self._host.stamper.tau, meta, arrays)
            self._published(path, self._host.stamper.seq)
        except OSError as error:
            self._fail(error)

    def load(self, found: Any) -> int:
        """Put a snapshot (``ledger.snapshots.Snapshot``) into a host that has folded nothing; return its seq."""
        parts = {part: _part(part, found.arrays) for part in PARTS}
        restore_into(self._host.fold, found.meta["fold"], parts["fold"])
        self._host.row_stamper.memory.restore(found.meta["ids"], parts["ids"])
        self._host.row_stamper.resume()
        self._host.views.restore(found.meta["views"], parts["views"])
        self._host.apply_mode(found.meta["modes"])
        self._seq = int(found.seq)
        return self._seq

    # ------------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        host = self._host
        own = {"fold": state_of(host.fold), "ids": host.row_stamper.memory.state(), "views": host.views.state()}
        meta: dict[str, Any] = {part: found[0] for part, found in own.items()}
        meta["modes"] = {"verdict_mode": host.verdict_mode, "verdict_fallback": host.fallback.value}
        arrays = {f"{part}/{name}": array for part, (_, found) in own.items() for name, array in found.items()}
        return meta, arrays

    def _write(self, seq: int, tau: int, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        try:
            self._saved(self._store.save(seq, tau, meta, arrays), seq)
        except OSError as error:
            self._fail(error)

    def _forked(self, seq: int, tau: int, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Return (child, pipe): a child that writes the state as it is at this moment, and the end that it tells on."""
        heard, told = os.pipe()
        gc.freeze()
        child = os.fork()
        if child:
            gc.unfreeze()
            os.close(told)
            return child, heard
        # In the child: this thread alone goes on, so nothing may wait for another. It ends with its parent.
        code = 1
        try:
            gc.disable()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.dup2(told, 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            path = self._store.save(seq, tau, meta, arrays)
            os.write(3, str(path).encode())
            code = 0
        finally:
            # Never back into the server's code, whatever happened.
            os._exit(code)

    def _await(self, seq: int, tau: int, child: tuple[int, int]) -> None:
        from pathlib import Path

        pid, heard = child
        with os.fdopen(heard, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        if status or not said:
            self._fail(OSError(f"the writer of the snapshot at {seq} ended with {status}"))
        else:
            self._saved(Path(said.decode()), seq)

    def _saved(self, path: Path, seq: int) -> None:
        """Put it in place once everything that was handed to the journal's writer before is on disk."""
        self._host.put(Parcel((), published=lambda: self._published(path, seq)))

    def _published(self, path: Path, seq: int) -> None:
        try:
            self._store.publish(path)
        except OSError as error:
            self._fail(error)
            return
        self.taken += 1
        self._busy.clear()
        self._put_in_place(seq)

    def _fail(self, error: OSError) -> None:
        """A snapshot that cannot be written costs nothing but a longer start."""
        self.failed += 1
        self._busy.clear()
        log.error("no snapshot was written: %s; free space or repair the disk", error)


def _part(part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
