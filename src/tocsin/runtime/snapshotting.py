"""Snapshotting: the state of the host is written beside its work, and read again at the start.

A snapshot is taken between two cycles: everything stamped so far has been folded. A small state is copied and written
by a thread; a large one is read and written by a forked child, which sees the memory as it was: the host pauses for the
fork alone. The views hear of events once they are on disk, so their numbers are taken by the journal's writer, at the
same place of the stream. By then everything that was derived up to there is on disk, and a start that begins with the
snapshot lacks nothing.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from tocsin.flow.state import restore_into, state_of
from tocsin.runtime.outbox import Parcel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

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


State: TypeAlias = "tuple[dict[str, Any], dict[str, np.ndarray]]"
"""Plain values and arrays."""
SMALL_BYTES = 64_000_000
"""A state up to this size is copied: that takes a few milliseconds."""
PARTS = ("fold", "ids", "views")
NICE = 5
"""The child gives way to those who answer callers."""
_PR_SET_PDEATHSIG = 1
log = logging.getLogger(__name__)


class Snapshotter:
    """Takes snapshots of one host. ``look`` is called by the host between two cycles.

    Parameters
    ----------
    every_s, every_events, every_bytes
        A snapshot is due when so much time and at least one event, or so many events or bytes of the journal, have
        passed since the last one: what no snapshot covers cannot leave the journal.
    put_in_place
        Called with the seq of each snapshot that is in place, in a thread of the snapshotter.
    """

    def __init__(
        self,
        host: EmbeddedHost,
        store: Snapshots,
        *,
        every_s: float,
        every_events: int,
        every_bytes: int,
        put_in_place: Callable[[int], None],
    ) -> None:
        self._host = host
        self._store = store
        self._every_s = every_s
        self._every_events = every_events
        self._every_bytes = every_bytes
        self._bytes = 0
        """What the host had journaled at the last snapshot."""
        self._put_in_place = put_in_place
        self._seq = self._placed = 0
        """Seq of the snapshot that was taken last, and of the one that was put in place last."""
        self._at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._loading: threading.Thread | None = None
        self._views: Future[State] = Future()
        self.taken = self.failed = 0
        self.pause_s = 0.0
        """How long the last snapshot held up the host."""
        self.bytes = 0
        """Memory of the state of the last snapshot, free room in its arrays included."""

    def look(self) -> None:
        """Take a snapshot where one is due; the host folds nothing meanwhile."""
        events = self._host.stamper.seq - self._seq
        if events and (self._thread is None or not self._thread.is_alive()):
            late = time.monotonic() - self._at >= self._every_s
            many = self._host.journaled_bytes - self._bytes >= self._every_bytes
            if (late or many or events >= self._every_events) and self._is_ready():
                self._bytes = self._host.journaled_bytes
                self.take()

    def take(self) -> threading.Thread:
        """Take a snapshot now, of a host that folds nothing meanwhile; the thread ends when it is in place."""
        while not self._is_ready():
            time.sleep(0.001)
        began = time.perf_counter()
        host = self._host
        self._seq, self._at = host.stamper.seq, time.monotonic()
        place = (self._seq, host.stamper.tau)
        views: Future[State] = Future()
        self._views = views
        host.put(Parcel((), published=lambda: _note(views, host)))
        self.bytes = self._size()
        if self.bytes <= SMALL_BYTES:
            meta, arrays = self._folded()
            copied = {name: array.copy() for name, array in arrays.items()}
            self._thread = threading.Thread(target=self._write, args=(place, (meta, copied), views), daemon=True)
        else:
            self._thread = threading.Thread(target=self._await, args=(place, self._forked(place), views), daemon=True)
        self._thread.name = "snapshot"
        self.pause_s = time.perf_counter() - began
        self._thread.start()
        return self._thread

    def finish(self) -> None:
        """Take a last snapshot and put it in place; the host has stopped and all is on disk."""
        if self._thread is not None:
            # Where the disk refused to the end its views never come.
            self._views.cancel()
            self._thread.join()
        if self._host.stamper.seq == self._placed or not self._host.finished:
            return
        place = (self._host.stamper.seq, self._host.stamper.tau)
        self._save(place, self._folded(), self._host.views.state())

    def load(self, found: Any) -> int:
        """Put a snapshot (``ledger.snapshots.Snapshot``) into a host that has folded nothing; return its seq."""
        parts = {part: _part(part, found.arrays) for part in PARTS}
        restore_into(self._host.fold, found.meta["fold"], parts["fold"])
        self._host.row_stamper.memory.restore(parts["ids"])
        self._host.row_stamper.resume()
        self._host.views.restore(found.meta["views"], parts["views"])
        self._host.apply_mode(found.meta["modes"])
        seq: int = found.seq
        self._seq = self._placed = seq
        return seq

    # ------------------------------------------------------------------------------------------------------------

    def _is_ready(self) -> bool:
        """Return whether the kernels that read the state are loaded; the first question has them loaded beside.

        A child must not load any: another thread may have held the compiler's lock when it was forked.
        """
        if self._loading is None:
            self._loading = threading.Thread(target=_load_kernels, name="snapshot kernels", daemon=True)
            self._loading.start()
        return not self._loading.is_alive()

    def _size(self) -> int:
        """Return the memory of the state, without reading it."""
        fold, ids = self._host.fold, self._host.row_stamper.memory
        sizes = (*fold.windows.bytes().values(), fold.tracks.bytes(), fold.deadlines.bytes(), 24 * len(ids))
        return sum(int(size) for size in sizes)

    def _folded(self) -> State:
        """Return what was made of the events up to the last one stamped; the arrays may be the host's own."""
        host = self._host
        fold, arrays = state_of(host.fold)
        modes = {"verdict_mode": host.verdict_mode, "verdict_fallback": host.fallback.value}
        ids = host.row_stamper.memory.state()
        return {"fold": fold, "modes": modes}, _named("fold", arrays) | _named("ids", ids)

    def _save(self, place: tuple[int, int], folded: State, views: State) -> None:
        try:
            self._publish(_saved(self._store, place, folded, views), place[0])
        except OSError as error:
            self._fail(error)

    def _write(self, place: tuple[int, int], folded: State, views: Future[State]) -> None:
        try:
            seen = views.result()
        except CancelledError:
            return
        self._save(place, folded, seen)

    def _forked(self, place: tuple[int, int]) -> tuple[int, int, int] | OSError:
        """Return (child, pipe from it, pipe to it): a child that writes the state as it is at this moment."""
        heard, told = os.pipe()
        given, giving = os.pipe()
        try:
            child = os.fork()
        except OSError as error:
            for end in (heard, told, given, giving):
                os.close(end)
            return error
        if child:
            os.close(told)
            os.close(given)
            return child, heard, giving
        # In the child: this thread alone goes on, so nothing may wait for another. It ends with its parent.
        code = 1
        try:
            self._in_child(place, told, given)
            code = 0
        finally:
            # Never back into the server's code, whatever happened.
            if code:
                sys.excepthook(*sys.exc_info())
            os._exit(code)

    def _in_child(self, place: tuple[int, int], told: int, given: int) -> None:
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
        folded = self._folded()
        with os.fdopen(given, "rb") as pipe:
            seen = pipe.read()
        if not seen:
            return
        try:
            said = f"+{_saved(self._store, place, folded, _opened(seen))}"
        except OSError as error:
            said = f"-{error}"
        os.write(told, said.encode())

    def _await(self, place: tuple[int, int], child: tuple[int, int, int] | OSError, views: Future[State]) -> None:
        if isinstance(child, OSError):
            self._fail(child)
            return
        pid, heard, giving = child
        try:
            with os.fdopen(giving, "wb") as pipe:
                pipe.write(_closed(views.result()))
        except (CancelledError, BrokenPipeError):
            # It hears nothing, or has gone: its end says the rest.
            pass
        with os.fdopen(heard, "rb") as pipe:
            said = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        if not said.startswith("+"):
            if not self._host.stopped:
                self._fail(OSError(said[1:] or f"the writer of the snapshot at {place[0]} ended with {status}"))
            return
        try:
            self._publish(Path(said[1:]), place[0])
        except OSError as error:
            self._fail(error)

    def _publish(self, path: Path, seq: int) -> None:
        self._store.publish(path)
        self._placed = seq
        self.taken += 1
        self._put_in_place(seq)

    def _fail(self, error: OSError) -> None:
        """A snapshot that cannot be written costs nothing but a longer start."""
        self.failed += 1
        log.error("no snapshot was written: %s; free space or repair the disk", error)


def _load_kernels() -> None:
    for module in ("windows", "series", "deadlines", "ids"):
        import_module(f"tocsin.flow.wide.{module}").warm()


def _note(views: Future[State], host: EmbeddedHost) -> None:
    """In the journal's writer, when all before the snapshot is on disk and published."""
    if views.set_running_or_notify_cancel():
        views.set_result(host.views.state())


def _saved(store: Snapshots, place: tuple[int, int], folded: State, views: State) -> Path:
    meta, arrays = folded
    told, seen = views
    return store.save(*place, {**meta, "views": told}, arrays | _named("views", seen))


def _closed(views: State) -> bytes:
    """Return the state of the views as bytes for the child."""
    meta, arrays = views
    return msgspec.msgpack.encode([
        meta, {name: (array.dtype.str, array.tobytes()) for name, array in arrays.items()},
    ])  # fmt: skip


def _opened(raw: bytes) -> State:
    meta, arrays = msgspec.msgpack.decode(raw)
    return meta, {name: np.frombuffer(data, np.dtype(kind)) for name, (kind, data) in arrays.items()}


def _named(part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{part}/{name}": array for name, array in arrays.items()}


def _part(part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
