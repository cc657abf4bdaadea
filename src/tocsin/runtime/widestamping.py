"""WideStamper: the stamper over hashed identities, for rows of the wide lane and for single events alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from tocsin.core.events import Event, stamp_tau
from tocsin.flow.wide.ids import CAPACITY, FEW, IdMemory
from tocsin.flow.wide.ids import warm as warm_ids
from tocsin.flow.wide.sip import sip_bytes, sip_few, sip_spans
from tocsin.runtime.stamping import Stamped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.hashing import Hasher

_32 = np.uint64(32)


class WideStamper:
    """Gives (seq, tau) and knows the identities of the last 24 hours of tau, ``capacity`` of them at most.

    Implements ``stamping.RowStamping``. Identities are hashes under the installation's seed (the collision odds stand
    in ``flow.wide.ids``): SipHash of source, 0x1f and id, as the scanner makes them. ``memory`` says how far back it
    reaches and is what a snapshot keeps; ``resume`` after its ``restore``. ``seq`` and ``tau`` are only to be read.
    """

    def __init__(self, hasher: Hasher, capacity: int = CAPACITY) -> None:
        self.memory = IdMemory(capacity)
        self.seq = 0
        self.tau = 0
        self._k0, self._k1 = np.uint64(hasher.k0), np.uint64(hasher.k1)
        self._last: tuple[tuple[str, str], int] = (("", ""), 0)
        """The identity that was hashed last: first it is asked for, then stamped."""

    def hash_of(self, identity: tuple[str, str]) -> int:
        """Return the hash of (source, id)."""
        last, found = self._last
        if last != identity or not found:
            data = f"{identity[0]}\x1f{identity[1]}".encode("utf-8", "surrogatepass")
            found = int(sip_bytes(np.frombuffer(data, np.uint8), 0, len(data), self._k0, self._k1))
            self._last = identity, found
        return found

    def seen(self, identity: tuple[str, str]) -> int:
        """Return the seq that this identity was accepted with, or 0."""
        return self.memory.seen(self.hash_of(identity))

    def stamp(self, event: Event, clock: int) -> Event:
        """Return the event with its seq and tau, and remember it."""
        self.seq += 1
        self.tau = stamp_tau(event.time, clock, self.tau)
        self.memory.accept(self.hash_of(event.identity), self.seq, self.tau)
        return replace(event, seq=self.seq, tau=self.tau)

    def stamp_all(self, events: Sequence[Event], clock: int) -> Stamped:
        """Stamp events in their order; one that is known, also from before in the same call, keeps its seq."""
        if not events:
            return Stamped([], [], [])
        identity = self._hashes([f"{event.source}\x1f{event.id}" for event in events])
        times = np.fromiter((event.time for event in events), np.int64, len(events))
        fresh, seqs, taus = (column.tolist() for column in self.memory.admit(identity, times, clock))
        self.resume()
        stamped = [
            replace(event, seq=seq, tau=tau)
            for event, new, seq, tau in zip(events, fresh, seqs, taus, strict=True)
            if new
        ]
        return Stamped(stamped, seqs, fresh)

    def stamp_ids(
        self, source: str, ids: Sequence[str], times: Sequence[int], clock: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what ``stamp_rows`` does, of events of one source that are known by their ids; at least one."""
        return self.stamp_rows(self._hashes([f"{source}\x1f{id}" for id in ids]), np.array(times, np.int64), clock)

    def stamp_rows(
        self, identity: np.ndarray, times: np.ndarray, clock: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (seqs int64 [n], taus int64 [n], fresh bool [n]) of rows with hashed identities, uint64 [n].

        A duplicate has the stamps that its identity was accepted with.
        """
        fresh, seqs, taus = self.memory.admit(identity, times, clock)
        self.resume()
        return seqs, taus, fresh

    def restore(self, event: Event) -> None:
        """Take up an event from the journal: its stamps are what they are; ValueError where seq runs back."""
        self.memory.accept(self.hash_of(event.identity), event.seq, event.tau)
        self.resume()

    def restore_rows(self, identity: np.ndarray, seqs: np.ndarray, taus: np.ndarray) -> None:
        """Take up rows from the journal."""
        self.memory.accept_rows(identity, seqs, taus)
        self.resume()

    def retract(self, events: Sequence[Event], seq: int, tau: int) -> None:
        """Take back the newest events: the disk refused them, so they were never accepted."""
        self.memory.retract(self.seq - seq, tau)
        self.resume()

    def _hashes(self, identities: Sequence[str]) -> np.ndarray:
        """Return the hash of each source, 0x1f and id, as ``hash_of`` does."""
        texts = [identity.encode("utf-8", "surrogatepass") for identity in identities]
        lengths = np.fromiter(map(len, texts), np.uint64, len(texts))
        spans = ((np.cumsum(lengths) - lengths) << _32) | lengths
        identity, there = np.empty(len(texts), np.uint64), np.ones(len(texts), np.bool_)
        (sip_few if len(texts) <= FEW else sip_spans)(
            np.frombuffer(bytearray().join(texts), np.uint8), spans, there, self._k0, self._k1, identity
        )
        return identity

    def resume(self) -> None:
        """Go on from where the memory stands."""
        self.seq, self.tau = self.memory.seq, self.memory.tau


def warm() -> None:
    """Compile every kernel of the stamper."""
    from tocsin.flow.hashing import Hasher

    warm_ids()
    WideStamper(Hasher(), 1).stamp_all([Event(id="1", source="warm", type="warm", time=1)], 1)
