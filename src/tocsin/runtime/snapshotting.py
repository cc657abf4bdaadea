"""Snapshotting: the state of the host is written beside its work, and read again at the start.

A snapshot is taken between two cycles: everything stamped so far has been folded. A small state is copied and written
by a thread; a large one is read and written by a forked child, which sees the memory as it was: the host pauses for the
fork alone. What only grows at its end (identities, the logs of windows) is written as it comes, in pieces that the
snapshots name. The views hear of events once they are on disk, so their numbers are taken by the journal's writer, at
the same place of the stream. By then everything that was derived up to there is on disk, and a start that begins with
the snapshot lacks nothing.
"""

from __future__ import annotations

import logging
import mmap
import threading
import time
from concurrent.futures import CancelledError, Future
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.flow.wide.reserved import gathered, lent, unshared
from tocsin.runtime.child import Child
from tocsin.runtime.hoststate import IDS, HostState, copied, named, release
from tocsin.runtime.outbox import Parcel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Protocol, Self

    from tocsin.runtime.embedded import EmbeddedHost
    from tocsin.runtime.hoststate import State
    from tocsin.runtime.pieces import Cut

    class Draft(Protocol):
        """A snapshot that is being written; where its block is left by an exception it is abandoned."""

        def __enter__(self) -> Self:
            """Return itself."""
            ...

        def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
            """Abandon it where something was raised."""
            ...

        def add(self, name: str, array: np.ndarray | Iterable[np.ndarray]) -> None:
            """Write an array, whole or as blocks of its rows."""
            ...

        def close(self, seq: int, tau: int, meta: Mapping[str, Any], pieces: Mapping[str, Sequence[Any]], /) -> Path:
            """Make it durable, under a passing name."""
            ...

        def abandon(self) -> None:
            """Remove it."""
            ...

    class Snapshots(Protocol):
        """Where snapshots lie (``ledger.snapshots``)."""

        def begin(self, seq: int) -> Draft:
            """Begin a snapshot under a passing name."""
            ...

        def publish(self, path: Path, keep: Callable[[], Collection[str]]) -> Path:
            """Put a saved snapshot in place, and let go of pieces that neither it nor ``keep`` names."""
            ...

        def save_piece(self, name: str, blocks: Sequence[np.ndarray]) -> Any:
            """Write rows of an array that will not change any more."""
            ...

        def newest(self, *, most_seq: int) -> Any:
            """Return the newest whole snapshot up to that seq, or None."""
            ...


SMALL_BYTES = 64_000_000
"""A state up to this size is copied: that takes a few milliseconds."""
APART_S = 5.0
"""A child needs 0.1 ms a MB for memory of its own."""
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
        self._state = HostState(host, store)
        self._apart = mmap.mmap(-1, mmap.PAGESIZE)
        """A byte that a child shares: set when it has memory of its own."""
        self._well = True
        """Whether the last one was written."""
        self._loaded = False
        """Whether the state came from a snapshot just now, and lies as it was read."""
        self.taken = self.failed = 0
        self.pause_s = 0.0
        """How long the last snapshot held up the host."""
        self.bytes = 0
        """Memory of the state of the last snapshot, free room in its arrays included."""

    def look(self) -> None:
        """Take a snapshot where one is due, and have pieces written; the host folds nothing meanwhile."""
        if self._loaded:
            self._loaded = False
            threading.Thread(target=gathered, args=(self._state.spread(),), name="pages", daemon=True).start()
        if self._well:
            # Else the next one writes what it needs: a disk that is full is not filled further.
            self._state.write_ahead()
        events = self._host.stamper.seq - self._seq
        if events and (self._thread is None or not self._thread.is_alive()):
            late = time.monotonic() - self._at >= self._every_s
            many = self._host.journaled_bytes - self._bytes >= self._every_bytes
            if (late or many or events >= self._every_events) and self._is_ready():
                self._bytes = self._host.journaled_bytes
                self.take()

    def take(self) -> threading.Thread:
        """Take a snapshot now, of a host that folds nothing meanwhile; the thread ends when it is in place.

        One that is under way already is the one.
        """
        if self._thread is not None and self._thread.is_alive():
            return self._thread
        while not self._is_ready():
            time.sleep(0.001)
        began = time.perf_counter()
        host = self._host
        self._seq, self._at = host.stamper.seq, time.monotonic()
        place = (self._seq, host.stamper.tau)
        views: Future[State] = Future()
        self._views = views
        host.put(Parcel((), published=lambda: _note(views, host)))
        self.bytes = self._state.size()
        cuts = self._state.cut()
        here = self._state.here(cuts)
        if self.bytes <= SMALL_BYTES:
            meta, arrays = self._state.folded(here, cuts)
            folded = meta, {name: copied(array) for name, array in arrays.items()}
            thread = threading.Thread(target=self._write, args=(place, folded, cuts, views))
        else:
            child, spread = self._forked(place, here, cuts), self._state.spread()
            thread = threading.Thread(target=self._await, args=(place, child, cuts, views, spread))
        self._thread = thread
        thread.name, thread.daemon = "snapshot", True
        self.pause_s = time.perf_counter() - began
        self._thread.start()
        return self._thread

    def cancel(self) -> None:
        """Wait for what is being written; a snapshot that is not on disk by now never is."""
        if self._thread is not None:
            # Where the disk refused to the end its views never come.
            self._views.cancel()
            self._thread.join()
        self._state.finish()

    def finish(self) -> None:
        """Take a last snapshot and put it in place; the host has stopped and all is on disk."""
        self.cancel()
        if self._host.stamper.seq == self._placed or not self._host.finished:
            return
        place = (self._host.stamper.seq, self._host.stamper.tau)
        cuts = self._state.cut()
        self._save(place, self._state.folded(self._state.here(cuts), cuts), cuts, self._host.views.state())

    def load(self, found: Any) -> int:
        """Put a snapshot (``ledger.snapshots.Snapshot``) into a host that has folded nothing; return its seq."""
        self._state.restore(found)
        self._loaded = True
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

    def _save(self, place: tuple[int, int], folded: State, cuts: Mapping[str, Cut], views: State) -> None:
        try:
            pieces = self._state.through(cuts)
            with self._store.begin(place[0]) as draft:
                _add_all(draft, folded[1])
                path = _close(draft, place, folded[0], views, pieces)
            self._publish(path, place[0])
        except OSError as error:
            self._fail(error)
        finally:
            release(cuts)

    def _write(self, place: tuple[int, int], folded: State, cuts: Mapping[str, Cut], views: Future[State]) -> None:
        try:
            seen = views.result()
        except CancelledError:
            release(cuts)
            return
        self._save(place, folded, cuts, seen)

    def _forked(self, place: tuple[int, int], here: State, cuts: Mapping[str, Cut]) -> Child | OSError:
        """Return a child that writes the state as it is at this moment."""

        def work(hear: Callable[[], bytes]) -> str:
            try:
                # First: as long as both have a page, the host waits for its copy where it writes.
                unshared(self._state.shared())
                self._apart[0] = 1
                with self._store.begin(place[0]) as draft:
                    meta, arrays = self._state.folded(here, cuts)
                    _add_all(draft, arrays)
                    if not (told := hear()):
                        draft.abandon()
                        return ""
                    views, pieces = _opened(told)
                    return f"+{_close(draft, place, meta, views, pieces)}"
            except OSError as error:
                return f"-{error}"

        self._apart[0] = 0
        rest = [rows for name, cut in cuts.items() if name != IDS for rows in cut.pieces.rest(cut)]
        try:
            with lent(rest):
                return Child(work)
        except OSError as error:
            return error

    def _await(
        self,
        place: tuple[int, int],
        child: Child | OSError,
        cuts: Mapping[str, Cut],
        views: Future[State],
        spread: Sequence[np.ndarray],
    ) -> None:
        try:
            if isinstance(child, OSError):
                raise child
            told = b""
            self._gather(spread)
            try:
                pieces = self._state.through(cuts)
                told = _closed(views.result(), pieces)
            except CancelledError:
                pass
            finally:
                child.tell(told)
                said, status = child.end()
            if said.startswith("+"):
                self._publish(Path(said[1:]), place[0])
            elif not self._host.stopped:
                raise OSError(said[1:] or f"the writer of the snapshot at {place[0]} ended with {status}")
        except OSError as error:
            self._fail(error)
        finally:
            release(cuts)

    def _gather(self, spread: Sequence[np.ndarray]) -> None:
        """Put together what was split into small pages where this process wrote to what the child shared.

        As soon as the child has its own: from then on nothing is split any more, and each small page that has not been
        written to yet would hold up the host once. A child that does not come to it is waited for in ``end``.
        """
        until = time.monotonic() + APART_S
        while not self._apart[0] and time.monotonic() < until:
            time.sleep(0.005)
        gathered(spread)

    def _publish(self, path: Path, seq: int) -> None:
        self._store.publish(path, self._state.pieces)
        self._well = True
        self._placed = seq
        self.taken += 1
        self._put_in_place(seq)

    def _fail(self, error: OSError) -> None:
        """A snapshot that cannot be written costs nothing but a longer start."""
        log.error("no snapshot was written: %s; free space or repair the disk", error)
        self._well = False
        self.failed += 1


def _load_kernels() -> None:
    for module in ("windows", "series", "deadlines", "ids"):
        import_module(f"tocsin.flow.wide.{module}").warm()


def _note(views: Future[State], host: EmbeddedHost) -> None:
    """In the journal's writer, when all before the snapshot is on disk and published."""
    if views.set_running_or_notify_cancel():
        views.set_result(host.views.state())


def _add_all(draft: Draft, arrays: Mapping[str, Any]) -> None:
    for name, array in arrays.items():
        draft.add(name, array)


def _close(
    draft: Draft, place: tuple[int, int], meta: dict[str, Any], views: State, pieces: Mapping[str, Sequence[Any]]
) -> Path:
    told, seen = views
    _add_all(draft, named("views", seen))
    return draft.close(*place, {**meta, "views": told}, pieces)


def _closed(views: State, pieces: Mapping[str, Sequence[Any]]) -> bytes:
    """Return the state of the views, and the pieces of each array, as bytes for the child."""
    meta, arrays = views
    raw = {name: (array.dtype.str, array.tobytes()) for name, array in arrays.items()}
    return msgspec.msgpack.encode([meta, raw, pieces])


def _opened(raw: bytes) -> tuple[State, dict[str, list[Any]]]:
    meta, arrays, pieces = msgspec.msgpack.decode(raw)
    return (meta, {name: np.frombuffer(data, np.dtype(kind)) for name, (kind, data) in arrays.items()}), pieces
