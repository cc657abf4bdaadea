"""Keys of machines: what is remembered of them, how long, and that a revocation ends it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tocsin.core.events import SECOND
from tocsin.core.records import ApiKey
from tocsin.ledger.memory import MemoryRecords
from tocsin.server.accounts import KNOWN_KEYS_S, MOST_KNOWN_KEYS, Accounts

if TYPE_CHECKING:
    from collections.abc import Callable


class Desk:
    """Accounts over records in memory, with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND
        self.records = MemoryRecords()
        self.accounts = Accounts(self.records, lambda: self.now)

    def made(self) -> tuple[str, bytes, ApiKey]:
        """Return (token, header, key) of a fresh key."""
        token, key = self.accounts.make_key("till", ["verdicts"], shop="", who="test")
        return token, f"Bearer {token}".encode(), key


def test_a_header_is_known_once_its_key_was_looked_up() -> None:
    """Not before, not another spelling, and not where the key came without its header."""
    desk = Desk()
    token, header, key = desk.made()
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(token) == key
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(token, header) == key
    assert desk.accounts.known(header) == key
    assert desk.accounts.known(header.lower()) is None
    assert desk.accounts.known(b"") is None


def test_a_key_that_is_revoked_is_unknown_at_once() -> None:
    """By its token and by its header, and it is not remembered again; other keys go on."""
    desk = Desk()
    token, header, key = desk.made()
    other_token, other_header, other = desk.made()
    for one in (token, header), (other_token, other_header):
        desk.accounts.key(*one)
    desk.accounts.revoke(key.id, who="test")
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(token, header) is None
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(other_token, other_header) == other
    assert desk.accounts.known(other_header) == other


def test_what_another_process_revokes_ends_within_seconds() -> None:
    """However often the key is used in between: its time counts from when it was read."""
    desk = Desk()
    token, header, key = desk.made()
    assert desk.accounts.key(token, header) == key
    desk.records.table(ApiKey).put(msgspec.structs.replace(key, revoked=desk.now))
    desk.now += KNOWN_KEYS_S * SECOND - 1
    assert desk.accounts.known(header) == key
    assert desk.accounts.key(token, header) == key
    desk.now += 1
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(token, header) is None


class Interrupted:
    """Records, or a table of them, after whose every reading something happens."""

    def __init__(self, inner: Any, happens: Callable[[], object]) -> None:
        self._inner = inner
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def table(self, kind: Any) -> Interrupted:
        return Interrupted(self._inner.table(kind), self._happens)

    def get(self, id: str) -> Any:
        found = self._inner.get(id)
        self._happens()
        return found


def test_a_key_that_is_revoked_while_it_is_read_is_not_remembered() -> None:
    """The request that read it before may pass, the next one does not."""
    desk = Desk()
    token, header, key = desk.made()
    revoked: list[ApiKey] = []

    def revoke() -> None:
        if not revoked:
            revoked.append(key)
            accounts.revoke(key.id, who="test")

    accounts = Accounts(cast("Any", Interrupted(desk.records, revoke)), lambda: desk.now)
    assert accounts.key(token, header) == key
    assert revoked
    assert accounts.known(header) is None
    assert accounts.key(token, header) is None


def test_only_so_many_keys_are_remembered() -> None:
    """The oldest are let go of, and found again in the records."""
    desk = Desk()
    token, header, key = desk.made()
    assert desk.accounts.key(token, header) == key
    for number in range(MOST_KNOWN_KEYS):
        desk.accounts.key(token, b"Bearer  %d" % number)
    assert desk.accounts.known(header) is None
    assert desk.accounts.key(token, header) == key


def test_what_is_no_key_is_never_remembered() -> None:
    """Whoever guesses fills no memory."""
    desk = Desk()
    assert desk.accounts.key("tcs_guess", b"Bearer tcs_guess") is None
    assert desk.accounts.known(b"Bearer tcs_guess") is None
