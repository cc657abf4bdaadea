"""One deadline on columns: what is armed in arrays, each arming event as the bytes that it came in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.desk import Miss
from tocsin.core.events import Event
from tocsin.flow.filters import mask as passing
from tocsin.flow.view import MICROS
from tocsin.flow.wide import deadlines_kernels as k
from tocsin.flow.wide.lines import LineRows
from tocsin.flow.wide.places import fill, index_for, rebuilt

if TYPE_CHECKING:
    from collections import Counter

    from tocsin.core.desk import Deadline
    from tocsin.flow.wide.rows import Rows

Arrays = dict[str, np.ndarray]
FIRST_ROOM = 16
ZERO = np.zeros(1, np.int64)
FLAGS = [np.full(1, flag, np.uint8) for flag in range(4)]
JSON_OBJECT = ord("{")
_from_json = msgspec.json.Decoder(Event).decode
_from_msgpack = msgspec.msgpack.Decoder(Event).decode


def packed(event: Event) -> bytes:
    """Return an event as bytes: MessagePack, or JSON where a number needs it."""
    try:
        return msgspec.msgpack.encode(event)
    except OverflowError:
        return msgspec.json.encode(event)


def unpacked(document: bytes, seq: int, tau: int) -> Event:
    """Return the event of a scanned line or of ``packed``, with its stamps."""
    event = (_from_json if document[0] == JSON_OBJECT else _from_msgpack)(document)
    return event if event.seq == seq and event.tau == tau else msgspec.structs.replace(event, seq=seq, tau=tau)


def documents_of(rows: Rows | LineRows, at: np.ndarray) -> list[bytes]:
    """Return these rows (int64, ascending) as bytes: their lines, where they have some."""
    if isinstance(rows, LineRows):
        keep = np.zeros(rows.n, bool)
        keep[at] = True
        return rows.lines_of(keep).split(b"\n")
    return [packed(rows.events[row]) for row in at.tolist()]


class Arrivals:
    """What of a batch arms or disarms: ``keys`` uint64, ``flags`` uint8, ``rows``, ``taus`` and ``seqs`` int64 [m]."""

    __slots__ = ("arming", "flags", "keys", "rows", "seqs", "taus")

    def __init__(
        self, rows: np.ndarray, keys: np.ndarray, flags: np.ndarray, taus: np.ndarray, seqs: np.ndarray
    ) -> None:
        self.rows, self.keys, self.flags, self.taus, self.seqs = rows, keys, flags, taus, seqs
        self.arming = rows[(flags & k.ARMS) != 0]


class Queue:
    """What one deadline waits for."""

    def __init__(self, deadline: Deadline, place: int) -> None:
        self.deadline, self.place = deadline, place
        self.within = deadline.within_s * MICROS
        self.types = tuple(dict.fromkeys((*deadline.after, *deadline.must, *deadline.cancel)))
        self._build(FIRST_ROOM)

    def _build(self, room: int) -> None:
        self.head = np.zeros(5, np.int64)
        self.hashes, self.index = np.zeros(room, np.uint64), index_for(room)
        self.taus, self.seqs = np.zeros(room, np.int64), np.zeros(room, np.int64)
        self.links = np.zeros((room, 2), np.int32)
        self.documents: list[bytes | None] = [None] * room
        """By place; None where nothing is armed."""

    @property
    def armed(self) -> int:
        """How many keys are waited for."""
        return self.head.item(k.ARMED)

    def due(self) -> int | None:
        """Return when the oldest is missed, None where nothing is armed."""
        oldest = self.head.item(k.OLDEST)
        return self.taus.item(oldest - 1) + self.within if oldest else None

    def arrivals(self, rows: Rows, counters: Counter[str]) -> Arrivals | None:
        """Return what of a batch concerns this deadline, None where nothing does."""
        if rows.n == 1:
            return self._arrival(rows, counters)
        deadline = self.deadline
        hashes, present = rows.keys(deadline.key)
        mask = rows.of_type(*self.types) & present
        at = np.flatnonzero(mask)
        if not len(at):
            return None
        arms = passing(rows, deadline.after_where, deadline.after, counters)[at]
        ends = passing(rows, deadline.must_where, deadline.must, counters)[at]
        if deadline.cancel:
            ends |= rows.of_type(*deadline.cancel)[at]
        flags = ends * np.uint8(k.DISARMS) + arms * np.uint8(k.ARMS)
        return Arrivals(at, hashes[at], flags, rows.taus[at], rows.seqs[at])

    def _arrival(self, rows: Rows, counters: Counter[str]) -> Arrivals | None:
        """Return the same of a single row that is of the deadline's types: without masks, for a caller who waits."""
        deadline, kind = self.deadline, rows.names.types[rows.kinds.item(0)]
        hashes, present = rows.keys(deadline.key)
        if not present[0]:
            return None
        flag = 0
        if kind in deadline.cancel or (
            kind in deadline.must
            and (not deadline.must_where or passing(rows, deadline.must_where, deadline.must, counters)[0])
        ):
            flag |= k.DISARMS
        if kind in deadline.after and (
            not deadline.after_where or passing(rows, deadline.after_where, deadline.after, counters)[0]
        ):
            flag |= k.ARMS
        return Arrivals(ZERO, hashes, FLAGS[flag], rows.taus, rows.seqs)

    def enter(self, rows: Rows, arrivals: Arrivals, start: int, stop: int) -> None:
        """Disarm and arm by the rows [start, stop)."""
        low, high = 0, len(arrivals.rows)
        if start or stop < rows.n:
            low, high = np.searchsorted(arrivals.rows, (start, stop)).tolist()
        if low == high:
            return
        part = slice(low, high)
        self._room(high - low)
        changes = np.empty((high - low, 2), np.int64)
        k.enter(
            self.index, self.hashes, self.taus, self.seqs, self.links, self.head, arrivals.keys[part],
            arrivals.flags[part], arrivals.taus[part], arrivals.seqs[part], changes,
        )  # fmt: skip
        self._keep(rows, arrivals.rows[part], changes)

    def _keep(self, rows: Rows, at: np.ndarray, changes: np.ndarray) -> None:
        """Let go of the documents of what was disarmed, keep those of what was armed, in the order of the rows."""
        new = changes[:, 1] >= 0
        found = iter(documents_of(rows, at[new])) if new.any() else iter(())
        documents = self.documents
        changed = changes[new | (changes[:, 0] >= 0)]
        for gone, armed in zip(changed[:, 0].tolist(), changed[:, 1].tolist(), strict=True):
            if gone >= 0:
                documents[gone] = None
            if armed >= 0:
                documents[armed] = next(found)

    def _room(self, more: int) -> None:
        """Make room for so many more, by a quarter at least."""
        room, need = len(self.hashes), self.armed + more
        if need > room:
            fresh = max(need, room * 5 // 4)
            self.hashes, self.taus, self.seqs, self.links = (
                np.concatenate([array, np.zeros((fresh - room, *array.shape[1:]), array.dtype)])
                for array in (self.hashes, self.taus, self.seqs, self.links)
            )
            self.documents.extend([None] * (fresh - room))
            if len(self.index) * 3 < fresh * 5:
                self.index = rebuilt(self.hashes, k.armed(self.links, self.head), fresh)

    def _in_order(self) -> list[bytes]:
        """Return the documents of what is armed, in the order of arming."""
        places = k.armed(self.links, self.head).tolist()
        return [document for place in places if (document := self.documents[place]) is not None]

    def arrays(self) -> Arrays:
        """Return the keys, taus and seqs of what is armed, in the order of arming."""
        places = k.armed(self.links, self.head)
        return {"hashes": self.hashes[places], "taus": self.taus[places], "seqs": self.seqs[places]}

    def _load(self, arrays: Arrays, documents: list[bytes]) -> None:
        n = len(documents)
        self.hashes[:n], self.taus[:n], self.seqs[:n] = arrays["hashes"], arrays["taus"], arrays["seqs"]
        self.documents[:n] = documents
        k.load(self.links, self.head, n)
        fill(self.index, self.hashes, np.arange(n))

    def missed(self) -> tuple[int, Miss]:
        """Take out the oldest, and return (seq, miss)."""
        oldest = self.head.item(k.OLDEST) - 1
        seq, armed = self.seqs.item(oldest), self.taus.item(oldest)
        event = unpacked(self._taken(oldest), seq, armed)
        k.miss(self.index, self.hashes, self.links, self.head)
        key = str(event.data[self.deadline.key])
        miss = Miss(deadline=self.deadline, key=key, shop=event.shop, armed=armed, due=armed + self.within, event=event)
        return seq, miss

    def _taken(self, place: int) -> bytes:
        document, self.documents[place] = self.documents[place], None
        if document is None:
            raise LookupError("nothing is armed here")
        return document

    # State as a whole.

    def canonical(self) -> list[Any]:
        """Return (key, due, seq) of what is armed, as the plain deadlines do."""
        arrays, found = self.arrays(), []
        for document, tau, seq in zip(self._in_order(), arrays["taus"].tolist(), arrays["seqs"].tolist(), strict=True):
            event = unpacked(document, seq, tau)
            key = (self.place, event.shop, str(event.data[self.deadline.key]))
            found.append((key, tau + self.within, seq))
        return found

    def saved(self) -> Arrays:
        """Return everything as arrays; ``lines`` uint8 holds the documents one after the other."""
        documents = self._in_order()
        return {
            **self.arrays(),
            "lengths": np.array([len(document) for document in documents], np.int64),
            "lines": np.frombuffer(b"".join(documents), np.uint8),
        }

    def restore(self, arrays: Arrays) -> None:
        """Become what ``saved`` returned."""
        text = arrays["lines"].tobytes()
        ends = np.cumsum(arrays["lengths"]).tolist()
        documents = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        self._build(max(FIRST_ROOM, len(documents) * 5 // 4))
        self._load(arrays, documents)

    def bytes(self) -> int:
        """Return the memory of the arrays, without the documents themselves."""
        arrays = (self.index, self.hashes, self.taus, self.seqs, self.links)
        return sum(array.nbytes for array in arrays) + 8 * len(self.documents)
