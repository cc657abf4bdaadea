"""Follower: writes verdict records behind the fold, so that no query slows an answer."""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from tocsin.core.records import Switch
from tocsin.core.signal import Verdict
from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.core.events import Event
    from tocsin.core.ports import Records
    from tocsin.runtime.feed import Feed

log = logging.getLogger(__name__)
CURSOR = "cursor:verdicts"
RECENT = 50_000
MOST_BEHIND, WAITS_S = 20_000, 2.0
"""So many verdicts may wait to be written; then who notes more waits, too, at most so long."""
GATHER_S = 0.7
"""So long verdicts gather before they are written: a page of the database is written once for many of them."""
REST_S = 60.0
"""So often the cursor moves where nothing is to be written: a start reads the journal from there on."""
MOST_TOGETHER = 8192
"""Verdicts in one transaction, about: people's own changes wait for it."""


_NONE: Mapping[str, bytes] = {}


class _Noted(NamedTuple):
    """What was noted at once, up to ``seq``."""

    seq: int
    verdicts: list[Verdict]
    resolved: list[Event]
    bodies: Mapping[str, bytes]


class Recorder(Protocol):
    """Writes verdicts to the records; for one thread."""

    def write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes] = _NONE) -> None:
        """Put verdicts and, where it moves, the cursor: all durable when it returns, or nothing is and it raises.

        ``bodies``: the JSON of verdicts by id, of those whose JSON is there.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class RecorderHere:
    """Writes in the thread that asks."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes] = _NONE) -> None:
        """Write, as ``Recorder`` says."""
        with self._records.transaction():
            self._records.table(Verdict).put_many(verdicts)
            if cursor is not None:
                self._records.table(Switch).put(cursor)

    def close(self) -> None:
        """Do nothing: it holds nothing."""


class Follower:
    """Puts verdicts and their endings into the records, in journal order, in batches, with its own cursor.

    What it has not written when the process dies is written again from the journal: the cursor moves in the same
    transaction as the rows. ``recorder`` writes to ``records``; without one they are written in the follower's thread.
    """

    def __init__(self, records: Records, feed: Feed, recorder: Recorder | None = None) -> None:
        self._records = records
        self._feed = feed
        self._recorder = recorder or RecorderHere(records)
        self._behind = 0
        """Verdicts and endings that were noted and are not written."""
        self._queue: queue.SimpleQueue[_Noted | None] = queue.SimpleQueue()
        self._recent: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._idle = threading.Event()
        self._idle.set()
        self._hurry = threading.Event()
        """Whether somebody waits for what has been noted."""
        self._ending = threading.Event()
        self._moving = True
        """Whether the cursor moves: not past what the records did not take."""
        self._stuck = False
        """Whether the records take nothing: then nobody waits for them."""
        self._reached = self._moved = 0
        """Up to which seq everything has been noted, and where this run has put the cursor."""
        self.failures = 0

    @property
    def cursor(self) -> int:
        """Return the seq up to which the records hold every verdict."""
        switch = self._records.table(Switch).get(CURSOR)
        return switch.number if switch is not None else 0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, then end."""
        self._ending.set()
        self._hurry.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def note(
        self,
        seq: int,
        verdicts: Sequence[Verdict],
        resolved: Sequence[Event],
        bodies: Mapping[str, bytes] = _NONE,
    ) -> None:
        """Take verdicts, with their JSON where it is there, and ``verdict.resolved`` events up to position ``seq``.

        Returns at once, unless ``MOST_BEHIND`` verdicts wait to be written: then it waits for room. Where the records
        take nothing for ``WAITS_S`` it waits no longer; what has no room then is written after the next start.
        """
        with self._room:
            for verdict in verdicts:
                self._recent[verdict.id] = verdict
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)
            if not self._has_room() and not self._stuck:
                self._hurry.set()
                self._stuck = not self._room.wait_for(self._has_room, WAITS_S)
                if self._stuck:
                    log.error(
                        "records: %d verdicts wait and none is taken; more are left to the next start", MOST_BEHIND
                    )
            if not self._has_room():
                self._give_up()
                return
            # Under the lock: what is in the queue and the sign that nothing is must not part.
            self._idle.clear()
            self._behind += len(verdicts) + len(resolved)
            self._queue.put(_Noted(seq, list(verdicts), list(resolved), bodies))

    def reach(self, seq: int) -> None:
        """Hear that all up to journal position ``seq`` has been noted; a quiet cursor follows within ``REST_S``."""
        self._reached = seq

    def verdict(self, id: str) -> Verdict | None:
        """Return the verdict of that identity, newest state."""
        with self._lock:
            found = self._recent.get(id)
        return found if found is not None else self._records.table(Verdict).get(id)

    def settle(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything noted so far is written."""
        self._hurry.set()
        return self._idle.wait(timeout_s)

    def written(self, seq: int, timeout_s: float = WAITS_S) -> int:
        """Have all up to ``seq`` written; return up to where no start needs the journal for the records.

        Where the records do not take what they are given nothing is held for them: the journal's bound goes first.
        """
        self._hurry.set()
        with self._room:
            self._room.wait_for(lambda: self._needless() >= seq, timeout_s)
            return self._needless()

    def _needless(self) -> int:
        return self._reached if self._idle.is_set() or not self._moving else min(self._moved, self._reached)

    def _run(self) -> None:
        try:
            while not self._step():
                pass
        finally:
            self._recorder.close()

    def _step(self) -> bool:
        """Write what waits, or rest; return whether that was the end."""
        try:
            item = self._queue.get(timeout=REST_S)
        except queue.Empty:
            self._rest()
            return False
        if item is not None:
            self._hurry.wait(GATHER_S)
            self._hurry.clear()
        batch: list[_Noted] = []
        count = 0
        while item is not None:
            batch.append(item)
            count += len(item.verdicts)
            if count >= MOST_TOGETHER or self._queue.empty():
                self._try(batch)
                batch, count = [], 0
            item = None if self._queue.empty() else self._queue.get()
        if batch:
            self._try(batch)
        with self._room:
            if self._queue.empty():
                self._idle.set()
                self._room.notify_all()
        if self._ending.is_set() and self._queue.empty():
            self._rest()
            return True
        return False

    def _has_room(self) -> bool:
        return self._behind < MOST_BEHIND

    def _give_up(self) -> None:
        """Leave it: the rows are in the journal, and are written after the next start, from where the cursor stands."""
        self.failures += 1
        self._moving = False

    def _try(self, batch: Sequence[_Noted]) -> None:
        try:
            self._write(batch)
            self._stuck = False
        except TocsinError as error:
            log.error("%s; verdicts are left to the next start", error)
            self._give_up()
        with self._room:
            self._behind -= sum(len(one.verdicts) + len(one.resolved) for one in batch)
            self._room.notify_all()

    def _rest(self) -> None:
        """Where nothing waits to be written, let the cursor follow what has been noted."""
        reached = self._reached
        # In this order: what is noted up to there was in the queue before it was reached.
        if not self._moving or reached <= self._moved or not self._queue.empty():
            return
        try:
            self._records.table(Switch).put(Switch(id=CURSOR, number=reached))
            self._moved = reached
        except TocsinError:
            self.failures += 1

    def _write(self, batch: Sequence[_Noted]) -> None:
        changed: dict[str, Verdict] = {}
        bodies: dict[str, bytes] = {}
        for one in batch:
            for verdict in one.verdicts:
                changed[verdict.id] = verdict
                # Of an earlier state of it: what is written is the newest.
                bodies.pop(verdict.id, None)
            bodies.update(one.bodies)
            for event in one.resolved:
                id = str(event.data.get("verdict", ""))
                found = changed.get(id) or self.verdict(id)
                if found is not None:
                    changed[id] = msgspec.structs.replace(found, outcome=str(event.data["outcome"]))
                    bodies.pop(id, None)
        seq = batch[-1].seq
        moves = self._moving
        self._recorder.write(list(changed.values()), Switch(id=CURSOR, number=seq) if moves else None, bodies)
        if moves:
            self._moved = seq
        with self._lock:
            for id, verdict in changed.items():
                if verdict.outcome and id in self._recent:
                    self._recent[id] = verdict
        for id in list(changed)[-20:]:
            self._feed.publish("verdict", id)
