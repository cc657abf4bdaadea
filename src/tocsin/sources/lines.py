"""The wide door: bodies of NDJSON into the cells of a chunk, by the scanner's kernel where a line is usual.

What the kernel leaves over goes through the plain ``Door`` line by line, so a line is accepted as the same event, or
refused for the same reason, whichever way it took. Pseudonyms, sealing and masking are in force on both ways.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.core.events import Kind, Privacy
from tocsin.core.vocabulary import PERSONAL
from tocsin.errors import BadEvent
from tocsin.flow.wide.scan import CAUSES, Check, Rule, Rules, Scanner, Scope
from tocsin.sources.checks import LARGEST_FIXED, MASKED_NAMES, PLANS
from tocsin.sources.door import ENTITIES
from tocsin.sources.letters import KEY_NAMES, PERSONAL_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tocsin.core.events import Field
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names
    from tocsin.flow.wide.scan_chunk import Chunk
    from tocsin.sources.door import Door

MARK = b"\xef\xbb\xbf"
"""A byte order mark; it may stand before the first line."""
MOST_SHOPS = 4096
_KINDS: Mapping[Kind, Check] = {
    Kind.TEXT: Check.TEXT,
    Kind.INTEGER: Check.INTEGER,
    Kind.NUMBER: Check.NUMBER,
    Kind.MONEY: Check.INTEGER,
    Kind.CURRENCY: Check.CURRENCY,
    Kind.BOOLEAN: Check.BOOLEAN,
    Kind.TIME: Check.TIME,
    Kind.KEY: Check.KEY,
    Kind.IP: Check.IP,
    Kind.ITEMS: Check.ITEMS,
    Kind.TEXTS: Check.ASK,
    Kind.OBJECT: Check.ASK,
}


class ScopedVault(Protocol):
    """A vault that lends the keys of its pseudonyms, as ``ledger.vault.KeyVault`` does."""

    revealed: frozenset[str]
    epoch: int

    def scope(self, shop: str, entity: str) -> bytes:
        """Return the key of an entity's pseudonyms in a shop."""
        ...

    def note(self, shop: str, entity: str, keys: Sequence[str]) -> None:
        """Take note of the identities behind keys."""
        ...

    def ready(self) -> None:
        """Raise Retryable where no more identities can be noted."""
        ...


class Admitted(msgspec.Struct, frozen=True):
    """What became of a body: the rows [start, stop) of the chunk, and what was refused, by the number of its line.

    ``rest`` is the place in the body from which the next chunk is to go on, -1 where all of it was read.
    """

    start: int
    stop: int
    refused: list[tuple[int, Any, BadEvent]]
    rest: int


class WideDoor:
    """Admits bodies of lines. Not for two threads at once: the caller holds a lock, as for the chunk.

    Parameters
    ----------
    door
        Takes what the kernel leaves over.
    vault
        The vault of that door.
    """

    def __init__(self, door: Door, vault: ScopedVault, names: Names, hasher: Hasher) -> None:
        self._door, self._vault = door, vault
        self.scanner = Scanner(names, hasher, rules())
        self._scopes: dict[str, Scope] = {}
        self._shops = 0
        self._epoch = vault.epoch
        self._parse: Callable[[bytes], Any] = msgspec.json.Decoder().decode
        self.lines = self.slow = 0
        self.causes: Counter[str] = Counter()
        """Why lines took the plain door."""

    @property
    def fallback_share(self) -> float:
        """Share of the lines so far that took the plain door."""
        return self.slow / self.lines if self.lines else 0.0

    def admit(
        self,
        body: bytes | memoryview,
        chunk: Chunk,
        *,
        now: int,
        live: bool,
        shop: str | None = None,
        at: int = 0,
    ) -> Admitted:
        """Read a body from ``at`` on into the free rows of a chunk; an error of the vault leaves it as it was.

        Parameters
        ----------
        now
            The receiving clock in microseconds.
        live
            Whether events may be too old or too far ahead.
        shop
            The shop that the door belongs to, None or "" for none.

        Raises
        ------
        Retryable
            Where the vault takes no more identities; nothing of the body was read.
        """
        if at == 0:
            # Only before a body: what has been read of it is accepted whole.
            self._vault.ready()
            at = len(MARK) if bytes(body[:3]) == MARK else 0
        if self._vault.epoch != self._epoch:
            self._epoch = self._vault.epoch
            self.scanner.forget()
        scope = self._scope(shop or self._door.default_shop)
        before = (chunk.n, chunk.used, chunk.n_items)
        done = False
        try:
            admitted = self._admitted(body, at, chunk, scope, now, live, shop or None)
            done = True
        finally:
            if not done:
                # The vault's disk refuses, say: nothing of this part was accepted, and no half-filled row stays.
                chunk.back_to(*before)
        return admitted

    def _admitted(
        self, body: bytes | memoryview, at: int, chunk: Chunk, scope: Scope, now: int, live: bool, shop: str | None
    ) -> Admitted:
        start, counted, number = chunk.n, 0, 0
        refused: list[tuple[int, Any, BadEvent]] = []
        while True:
            scanned = self.scanner.scan(body, at, chunk, scope, now=now, live=live, longest=self._door.max_event_bytes)
            self._note(scope, scanned.reports)
            self.lines += scanned.stop - scanned.start
            gone = []
            for row, first, length, cause in scanned.slow.tolist():
                self.slow += 1
                self.causes[CAUSES[cause]] += 1
                document: Any = None
                try:
                    document = self._parsed(bytes(body[first : first + length]))
                    event = self._door.admit(document, now=now, live=live, shop=shop, size=length)
                    chunk.put(row, event)
                except BadEvent as error:
                    # Counted on from the last refused line: nonsense costs no more than its length.
                    number += bytes(body[counted:first]).count(b"\n")
                    counted = first
                    refused.append((number, document, error))
                    gone.append(row)
            if gone:
                chunk.drop(gone)
            at = scanned.rest
            if at < 0 or scanned.full:
                return Admitted(start, chunk.n, refused, at)

    def _parsed(self, line: bytes) -> Any:
        most = self._door.max_event_bytes
        if len(line) > most:
            raise BadEvent(f"the event is larger than {most} bytes", code="oversized")
        try:
            return self._parse(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadEvent("this is not JSON", code="malformed") from error

    def _scope(self, shop: str) -> Scope:
        scope = self._scopes.get(shop)
        if scope is None:
            if len(self._scopes) >= MOST_SHOPS:
                self._scopes.clear()
            keys = {entity.value: self._vault.scope(shop, entity.value) for entity in PERSONAL}
            self._shops += 1
            scope = self._scopes[shop] = Scope(shop, self._shops, keys, self._vault.revealed)
        return scope

    def _note(self, scope: Scope, reports: list[tuple[int, str]]) -> None:
        """Tell the vault of keys that are new here."""
        by_entity: dict[int, list[str]] = {}
        for entity, key in reports:
            by_entity.setdefault(entity, []).append(key)
        for entity, keys in by_entity.items():
            self._vault.note(scope.shop, PERSONAL[entity].value, keys)


def rules() -> Rules:
    """Return the checks of ``sources.checks.PLANS`` as the scanner takes them."""
    return Rules(
        fields={
            name: {field: _rule(declared, privacy) for field, (_, declared, privacy) in plan.rules.items()}
            for name, plan in PLANS.items()
        },
        required={name: plan.required for name, plan in PLANS.items()},
        masked=MASKED_NAMES,
        personal=tuple(entity.value for entity in PERSONAL),
        subjects={name: name in ENTITIES for name in sorted(KEY_NAMES | PERSONAL_NAMES)},
    )


def _rule(field: Field, privacy: Privacy) -> Rule:
    if privacy is Privacy.SEALED:
        return Rule(Check.ASK)
    if privacy is Privacy.PSEUDONYM:
        return Rule(Check.PERSONAL)
    if privacy is Privacy.MASKED:
        return Rule(Check.MASKED if field.kind is Kind.TEXT and not field.choices else Check.ASK)
    check = _KINDS[field.kind]
    if check is Check.TEXT and field.choices:
        return Rule(Check.CHOICE, choices=field.choices)
    if check is Check.NUMBER:
        return Rule(check, limit=float(LARGEST_FIXED // 10**field.scale))
    return Rule(check)
