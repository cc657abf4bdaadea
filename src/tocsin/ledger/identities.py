"""IdentityBook: the clear keys behind pseudonyms that came in by the million, sealed a page at a time.

A page holds up to ``PAGE`` identities of one entity in one shop, encrypted as one value under the installation's master
key. To forget one, its page is written anew without it. Nothing in the journal is sealed under these, so no key of
their own is needed, and a new customer costs a few microseconds.

New identities wait in memory for at most ``FLUSH_S``: what a crash takes is noted again when the key is next seen.
Where the records refuse they wait on, ``MOST_WAITING`` of them; then the door takes no more lines (``ready``), so that
no pseudonym is made whose key nobody keeps.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tocsin.core.records import IdentityPage
from tocsin.errors import Misconfigured, Retryable, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from tocsin.core.ports import Records

PAGE = 8192
FLUSH_S = 1.0
DIGEST = 15
MOST_WAITING = 1_000_000
"""Identities that may wait for the records, about 220 bytes each, and those of one body beyond."""
Scope = tuple[str, str]
"""Shop and entity."""


class Written(msgspec.Struct, array_like=True):
    """What is sealed in a page: the digests of the pseudonyms, one after the other, and the clear keys."""

    digests: bytes
    keys: list[str]


class IdentityBook:
    """All pages of one installation. Safe for any thread; a thread of its own writes.

    Parameters
    ----------
    key
        32 bytes, derived from the master key.
    gone
        The pseudonyms of an entity in a shop that were forgotten: nothing is kept of them, and what an old backup
        brought back is removed.
    """

    def __init__(
        self,
        records: Records,
        key: bytes,
        *,
        now: Callable[[], int],
        gone: Callable[[str, str], Collection[str]],
    ) -> None:
        self.failures = 0
        """How often the records took nothing."""
        self.turned_away = 0
        """Bodies of lines that were not read because too many identities waited."""
        self.failing = ""
        """Why the records took nothing at the last try; empty when they did."""
        self._records = records
        self._cipher = AESGCM(key)
        self._now = now
        self._gone = gone
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._waiting: dict[Scope, dict[bytes, str]] = {}
        self._size = 0
        """How many wait or are being written."""
        self._going: dict[Scope, dict[bytes, str]] = {}
        """What is being written: no longer waiting, and not in a page yet."""
        self._known: dict[Scope, Known] = {}
        self._last: dict[Scope, IdentityPage] = {}
        self._loaded = False
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._ended = False

    def ready(self) -> None:
        """Raise Retryable where so many identities wait that no more may come."""
        if self._size >= MOST_WAITING:
            self.turned_away += 1
            why = self.failing or "it is slower than new customers come"
            raise Retryable(f"the records do not take up the identities behind pseudonyms: {why}", after_s=5.0)

    def note(self, shop: str, entity: str, hashed: bytes, keys: Sequence[str]) -> None:
        """Take note of clear keys; each is hashed under ``hashed``, the scope's key. Returns at once."""
        blake = hashlib.blake2b
        with self._lock:
            waiting = self._waiting.setdefault((shop, entity), {})
            self._size -= len(waiting)
            for key in keys:
                waiting[blake(key.encode(), key=hashed, digest_size=DIGEST).digest()] = key
            self._size += len(waiting)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="identities", daemon=True)
                self._thread.start()
        self._wake.set()

    def find(self, shop: str, entity: str, pseudonym: str) -> str | None:
        """Return the clear key of a pseudonym, None where it is not in the book."""
        digest = digest_of(pseudonym)
        if digest is None:
            return None
        with self._lock:
            for found in (self._waiting, self._going):
                key = found.get((shop, entity), {}).get(digest)
                if key is not None:
                    return key
        for _, written in self._pages(shop, entity):
            place = _place(written.digests, digest)
            if place >= 0:
                return written.keys[place]
        return None

    def drop(self, shop: str, entity: str, pseudonym: str) -> bool:
        """Remove an identity for good; return whether there was one."""
        digest = digest_of(pseudonym)
        if digest is None:
            return False
        with self._writing:
            with self._lock:
                found = self._waiting.get((shop, entity), {}).pop(digest, None) is not None
            for page, written in self._pages(shop, entity):
                place = _place(written.digests, digest)
                if place >= 0:
                    self._put(page, _without(written, [place]))
                    found = True
            # What is known is learned again: a subject that is readmitted may be noted once more.
            self._known, self._last, self._loaded = {}, {}, False
        return found

    def flush(self) -> None:
        """Write what waits; Retryable where the disk refuses: then it waits on."""
        with self._writing:
            self._load()
            with self._lock:
                waiting, self._waiting = self._waiting, {}
                self._going = dict(waiting)
            try:
                while waiting:
                    scope, found = next(iter(waiting.items()))
                    self._write(scope, found)
                    del waiting[scope]
            finally:
                with self._lock:
                    self._going = {}
                    for scope, found in waiting.items():
                        self._waiting[scope] = {**found, **self._waiting.get(scope, {})}
                    self._size = sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    # ------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait()
            time.sleep(0 if self._ended else FLUSH_S)
            self._wake.clear()
            try:
                self.flush()
                self.failing = ""
            except TocsinError as error:
                # What waits is kept and tried again, whether more comes or not: the door may wait for it.
                self.failures += 1
                self.failing = str(error)
                self._wake.set()

    def _load(self) -> None:
        """At the first flush: learn which identities the pages hold, and remove those that were forgotten since."""
        if self._loaded:
            return
        for page, written in self._pages():
            scope = (page.shop, page.entity)
            kept, left = page, written
            places = [_place(written.digests, digest) for digest in self._forgotten(scope)]
            gone = [place for place in places if place >= 0]
            if gone:
                left = _without(written, gone)
                kept = self._put(page, left)
            self._known.setdefault(scope, Known()).add(np.frombuffer(left.digests, np.uint8))
            if kept.count < PAGE:
                self._last[scope] = kept
        self._loaded = True

    def _write(self, scope: Scope, found: dict[bytes, str]) -> None:
        known = self._known.setdefault(scope, Known())
        fresh = known.fresh(list(found))
        gone = self._forgotten(scope)
        fresh = [digest for digest in fresh if digest not in gone]
        while fresh:
            page = self._last.get(scope) or self._new_page(scope)
            written = self._opened(page)
            part, fresh = fresh[: PAGE - len(written.keys)], fresh[PAGE - len(written.keys) :]
            grown = Written(written.digests + b"".join(part), [*written.keys, *(found[digest] for digest in part)])
            page = self._put(page, grown)
            known.add(np.frombuffer(b"".join(part), np.uint8))
            if page.count < PAGE:
                self._last[scope] = page
            else:
                self._last.pop(scope, None)

    def _forgotten(self, scope: Scope) -> frozenset[bytes]:
        digests = (digest_of(pseudonym) for pseudonym in self._gone(*scope))
        return frozenset(digest for digest in digests if digest is not None)

    def _new_page(self, scope: Scope) -> IdentityPage:
        shop, entity = scope
        number = self._records.table(IdentityPage).count({"shop": shop, "entity": entity})
        return IdentityPage(id=f"{shop}/{entity}/{number:08d}", shop=shop, entity=entity, created=self._now())

    def _put(self, page: IdentityPage, written: Written) -> IdentityPage:
        nonce = os.urandom(12)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(written), page.id.encode())
        changed = msgspec.structs.replace(page, sealed=sealed, count=len(written.keys))
        self._records.table(IdentityPage).put(changed)
        return changed

    def _opened(self, page: IdentityPage) -> Written:
        if not page.sealed:
            return Written(b"", [])
        try:
            raw = self._cipher.decrypt(page.sealed[:12], page.sealed[12:], page.id.encode())
        except InvalidTag as error:
            raise Misconfigured(f"vault: the page {page.id} was changed, or sealed under another master key") from error
        return msgspec.msgpack.decode(raw, type=Written)

    def _pages(self, shop: str = "", entity: str = "") -> Iterator[tuple[IdentityPage, Written]]:
        where = {"shop": shop, "entity": entity} if entity else {}
        after = ""
        while True:
            found = self._records.table(IdentityPage).find(where, order="id", limit=16, after=after)
            for page in found:
                yield page, self._opened(page)
            if not found.next:
                return
            after = found.next


class Known:
    """Which digests there are, by their first eight bytes: sorted runs, merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def add(self, digests: np.ndarray) -> None:
        """Take up digests, uint8 [n * 15]."""
        heads = np.sort(_heads(digests))
        while self._runs and len(self._runs[-1]) <= 2 * len(heads):
            heads = np.sort(np.concatenate([self._runs.pop(), heads]), kind="stable")
        self._runs.append(heads)

    def fresh(self, digests: list[bytes]) -> list[bytes]:
        """Return those of the digests that are not known."""
        heads = _heads(np.frombuffer(b"".join(digests), np.uint8))
        seen = np.zeros(len(heads), bool)
        for run in self._runs:
            if len(run):
                at = np.searchsorted(run, heads)
                seen |= run[np.minimum(at, len(run) - 1)] == heads
        return [digest for digest, known in zip(digests, seen.tolist(), strict=True) if not known]


def digest_of(pseudonym: str) -> bytes | None:
    """Return the digest that a pseudonym stands for, None where it is no pseudonym."""
    try:
        digest = base64.b32decode(pseudonym.upper())
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == DIGEST else None


def _heads(digests: np.ndarray) -> np.ndarray:
    heads: np.ndarray = np.ascontiguousarray(digests.reshape(-1, DIGEST)[:, :8]).view(np.uint64).ravel()
    return heads


def _cut(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]


def _place(digests: bytes, digest: bytes) -> int:
    """Return which of the digests it is, -1 for none of them."""
    at = digests.find(digest)
    while at >= 0 and at % DIGEST:
        at = digests.find(digest, at + 1)
    return at // DIGEST if at >= 0 else -1


def _without(written: Written, places: Sequence[int]) -> Written:
    gone = set(places)
    digests = [digest for place, digest in enumerate(_cut(written.digests)) if place not in gone]
    return Written(b"".join(digests), [key for place, key in enumerate(written.keys) if place not in gone])
