"""Ports: the seams between the laws and the world, each a Protocol of one to five verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tocsin.core.action import Action, Receipt
    from tocsin.core.events import Event

T = TypeVar("T")


class Clock(Protocol):
    """The only source of now; below the hosts nobody asks it."""

    def now(self) -> int:
        """Return microseconds since the epoch, UTC."""
        ...


class Journal(Protocol):
    """Append-only memory of stamped events; what ``commit`` returned for is on disk."""

    def append(self, events: Sequence[Event]) -> None:
        """Write events (already stamped, seq ascending) to the open segment; Retryable when the disk refuses."""
        ...

    def extend(self, parts: Sequence[Any]) -> None:
        """Write lists of events, blocks of the wide lane and columns (``ledger.blocks``) at once, or none of them."""
        ...

    def commit(self) -> None:
        """Make all that was appended durable (fdatasync).

        Retryable when the disk refuses: nothing since the last commit counts then, and nothing is taken until
        ``recover``.
        """
        ...

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the committed events with seq > after_seq in order."""
        ...

    def read_blocks(self, after_seq: int = 0) -> Iterator[Any]:
        """Yield the same events: blocks of rows as they were written, all others in lists."""
        ...

    def read_columns(self, after_seq: int = 0) -> Iterator[Any]:
        """Yield the verdicts that were written as columns, judged beyond ``after_seq``."""
        ...

    def judged(self) -> int:
        """Return the last seq that committed columns say was judged; 0 without columns."""
        ...

    def last(self) -> tuple[int, int]:
        """Return (seq, tau) of the last committed event, (0, 0) where there is none."""
        ...

    def recover(self) -> None:
        """After a refusal: void what was not committed and go on; harmless otherwise.

        Retryable where the disk still refuses.
        """
        ...

    def close(self) -> None:
        """Commit and let go of the files."""
        ...


class Page(list[T]):
    """The records that one ``find`` returned; ``next`` is the cursor behind them, empty where there are no more."""

    next: str = ""


class Table(Protocol[T]):
    """One kind of control record, by identity."""

    def get(self, id: str) -> T | None:
        """Return the record of that identity, or None."""
        ...

    def put(self, record: T) -> None:
        """Insert or replace.

        Conflict where the record has a ``version`` and the stored one is not its predecessor's or its own.
        """
        ...

    def put_many(self, records: Iterable[T]) -> None:
        """Put them all, together or not at all."""
        ...

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        order: str = "-id",
        limit: int = 100,
        after: str = "",
        search: str = "",
    ) -> Page[T]:
        """Return records with ``where`` (field -> value, or a list of values; ``field__gte``, ``field__lt``).

        They come in order (``-`` descending), from the cursor ``after`` on.
        Ties are ordered by id; a missing value is less than any other. ``search``: a part of one of the record's
        texts, whatever the case. BadEvent names a field that cannot be asked, and a cursor of another list.
        """
        ...

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Return how many there are."""
        ...

    def drop(self, id: str) -> None:
        """Delete the record; nothing happens where there is none."""
        ...


class Records(Protocol):
    """The control state: one table a noun, one transaction over all."""

    def table(self, kind: type[T]) -> Table[T]:
        """Return the table of a record type; Misconfigured where it is not a record."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Everything put inside is stored together or not at all; may be nested (the outermost counts)."""
        ...

    def checkpoint(self) -> None:
        """Leave no overwritten or deleted record in any log of the store."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class Vault(Protocol):
    """Pseudonyms and sealed values, per shop."""

    def pseudonym(self, shop: str, entity: str, key: str) -> str:
        """Return the keyed hash of a key: stable for the installation, not reversible without it."""
        ...

    def seal(self, shop: str, subject: str, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values encrypted under the subject's key (made at first use)."""
        ...

    def open(self, shop: str, subject: str, sealed: Mapping[str, str], *, who: str, why: str) -> dict[str, str]:
        """Return the clear values, each opening audited; NotFound after the subject was forgotten."""
        ...

    def shred(self, shop: str, subject: str) -> bool:
        """Destroy the subject's key for good; return whether there was one."""
        ...


class Actuator(Protocol):
    """A door out: does and undoes the verbs that it names. Repeating a call with the same action id is harmless."""

    name: str
    verbs: frozenset[str]

    def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
        """Do it, for at most ``action.ttl_s`` seconds where the other side can count them."""
        ...

    def undo(self, action: Action) -> Receipt:
        """Take it back."""
        ...


class Source(Protocol):
    """A door in for files: yields raw events as dicts in the order of the file, with the line each came from."""

    def read(self) -> Iterable[tuple[int, dict[str, Any]]]:
        """Yield (line or row number from 1, event document)."""
        ...
