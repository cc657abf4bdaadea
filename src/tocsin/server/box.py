"""The dead-letter box: refused events, capped, without sealed or pseudonym values; listed, fixed, driven again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.records import DeadLetter
from tocsin.errors import BadEvent, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.ports import Records
    from tocsin.sources.door import Door

LONGEST_DOCUMENT = 65_536
"""Characters of a document that are kept; a longer one cannot be driven again from the box."""
AT_ONCE = 500
"""Letters a transaction."""


class Refused(msgspec.Struct, frozen=True):
    """One refused event of a request: its place, the document where it could be read, and why."""

    index: int
    document: Any
    error: BadEvent


class LetterBox:
    """Keeps at most ``most`` letters; the oldest go first."""

    def __init__(self, records: Records, door: Door, *, most: int, flush_keys: Callable[[], None]) -> None:
        self._records = records
        self._door = door
        self._most = most
        self._flush_keys = flush_keys
        self._lock = threading.Lock()
        self._number = 0
        self.kept = 0
        """Letters put in since the start."""
        self.lost = 0
        """Letters that the records would not take."""

    def put(self, refused: Sequence[Refused], *, now: int, shop: str, door: str) -> None:
        """Keep refused events; of more than the box can hold only the last ones."""
        letters = [self._letter(one, now, shop, door) for one in refused[-self._most :]]
        try:
            # A sealed value must never be on disk without the key that opens it.
            self._flush_keys()
            for start in range(0, len(letters), AT_ONCE):
                with self._records.transaction():
                    for letter in letters[start : start + AT_ONCE]:
                        self._records.table(DeadLetter).put(letter)
            self._drop_oldest()
        except TocsinError:
            # The caller has the refusal in the answer; losing the copy must not turn accepted events into an error.
            self.lost += len(letters)
            return
        self.kept += len(letters)

    def _letter(self, one: Refused, now: int, shop: str, door: str) -> DeadLetter:
        with self._lock:
            self._number += 1
            number = self._number
        document, id, kind = one.document, "", ""
        text = ""
        if document is not None:
            buried = self._door.bury(document, shop=shop)
            text = msgspec.json.encode(buried).decode()
            if isinstance(buried, dict):
                id, kind = str(buried.get("id", ""))[:200], str(buried.get("type", ""))[:200]
        return DeadLetter(
            id=f"{now:020d}.{number:08d}",
            received=now,
            shop=shop,
            door=door,
            code=one.error.code,
            field=one.error.field,
            reason=one.error.reason,
            document=text if len(text) <= LONGEST_DOCUMENT else "",
            event_id=id,
            event_type=kind,
        )

    def _drop_oldest(self) -> None:
        with self._lock, self._records.transaction():
            table = self._records.table(DeadLetter)
            excess = table.count() - self._most
            while excess > 0:
                for letter in table.find(order="id", limit=min(excess, AT_ONCE)):
                    table.drop(letter.id)
                excess -= AT_ONCE
