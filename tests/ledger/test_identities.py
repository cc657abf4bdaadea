"""The book of identities: a page at a time, each findable until it is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tocsin.core.records import IdentityPage
from tocsin.errors import NotFound, Retryable
from tocsin.ledger import identities
from tocsin.ledger.identities import PAGE
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault

KEYS = [f"customer-{n}" for n in range(PAGE + 100)]


def named(vault: KeyVault, key: str) -> str:
    return vault.hash_of("shop", "account", key)


def revealed(vault: KeyVault, key: str) -> str:
    return vault.reveal("shop", "account", named(vault, key), who="test", why="test")


def test_noted_identities_are_revealed_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """What waits in memory, what is on a full page and what is on the last one is found, and nothing twice."""
    records = MemoryRecords()
    vault = KeyVault(records, tmp_path)
    vault.note("shop", "account", KEYS)
    assert revealed(vault, KEYS[3]) == KEYS[3]
    vault.close()
    again = KeyVault(records, tmp_path)
    again.note("shop", "account", [*KEYS[:10], "one-more"])
    again.close()
    assert [page.count for page in records.table(IdentityPage).find(order="id")] == [PAGE, 101]
    for key in (KEYS[0], KEYS[PAGE], KEYS[-1], "one-more"):
        assert revealed(again, key) == key


class Watched(MemoryRecords):
    """Records in which somebody asks while a page is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Callable[[], None] = lambda: None

    def table(self, kind: type[Any]) -> Any:
        asked, self.asked = self.asked, lambda: None
        asked()
        return super().table(kind)


def test_an_identity_is_found_while_it_is_being_written(tmp_path: Path) -> None:
    """There is no moment at which it neither waits nor stands on a page."""
    records = Watched()
    vault = KeyVault(records, tmp_path)
    vault.book.flush()
    vault.note("shop", "account", ["ann"])
    found: list[str | None] = []
    records.asked = lambda: found.append(vault.book.find("shop", "account", named(vault, "ann")))
    vault.book.flush()
    assert found == ["ann"]
    vault.close()


def test_clear_keys_do_not_stand_in_the_records(tmp_path: Path) -> None:
    """A page is sealed: neither a key nor a pseudonym can be read in it."""
    records = MemoryRecords()
    vault = KeyVault(records, tmp_path)
    vault.note("shop", "account", ["alice@example.com"])
    vault.close()
    (page,) = records.table(IdentityPage).find()
    assert b"alice" not in page.sealed
    assert named(vault, "alice@example.com").encode() not in page.sealed


def test_who_is_forgotten_is_gone_and_stays_so_until_readmitted(tmp_path: Path) -> None:
    """Forgotten: not revealed, not on the page, not noted again; the others stay; readmitted: noted again."""
    records = MemoryRecords()
    vault = KeyVault(records, tmp_path)
    vault.note("shop", "account", ["ann", "bob"])
    vault.book.flush()
    subject = f"account:{named(vault, 'ann')}"
    assert vault.shred("shop", subject)
    for _ in range(2):
        with pytest.raises(NotFound):
            revealed(vault, "ann")
        vault.note("shop", "account", ["ann"])
        vault.book.flush()
    assert revealed(vault, "bob") == "bob"
    assert vault.readmit("shop", subject, who="test", why="test")
    vault.note("shop", "account", ["ann"])
    vault.book.flush()
    assert revealed(vault, "ann") == "ann"
    vault.close()


def test_an_old_backup_does_not_bring_back_who_was_forgotten_since(tmp_path: Path) -> None:
    """Pages of before with tombstones of after: the first flush removes the identity."""
    records = MemoryRecords()
    vault = KeyVault(records, tmp_path)
    vault.note("shop", "account", ["ann", "bob"])
    vault.close()
    (old,) = records.table(IdentityPage).find()
    vault.shred("shop", f"account:{named(vault, 'ann')}")
    records.table(IdentityPage).put(old)
    again = KeyVault(records, tmp_path)
    with pytest.raises(NotFound):
        revealed(again, "ann")
    again.note("shop", "account", ["carol"])
    again.close()
    (page,) = records.table(IdentityPage).find()
    assert page.count == 2


def test_noting_writes_by_itself_within_seconds(tmp_path: Path) -> None:
    """Nobody has to ask for it."""
    records = MemoryRecords()
    vault = KeyVault(records, tmp_path)
    vault.note("shop", "card", ["c1"])
    until = time.monotonic() + 10
    while not records.table(IdentityPage).count() and time.monotonic() < until:
        time.sleep(0.02)
    assert records.table(IdentityPage).count() == 1
    vault.close()


class Refusing(MemoryRecords):
    """Records whose disk can be full."""

    full = False

    def table(self, kind: type[Any]) -> Any:
        if self.full and kind is IdentityPage:
            raise Retryable("no space left on the device")
        return super().table(kind)


def test_what_waits_for_records_that_refuse_is_bounded_and_never_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound the door hears why and is turned away; what was noted is found, and written when they take it again.

    Nobody has to note anything for that: the door that waits brings nothing.
    """
    monkeypatch.setattr(identities, "MOST_WAITING", 100)
    monkeypatch.setattr(identities, "FLUSH_S", 0.01)
    records = Refusing()
    vault = KeyVault(records, tmp_path)
    vault.book.flush()
    records.full = True
    vault.note("shop", "account", KEYS[:99])
    vault.note("shop", "account", KEYS[:50])
    vault.ready()
    vault.note("shop", "card", KEYS[:1])
    until = time.monotonic() + 10
    while not vault.book.failures and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(Retryable, match="no space left"):
        vault.ready()
    assert vault.book.turned_away == 1
    assert revealed(vault, KEYS[98]) == KEYS[98]
    records.full = False
    while vault.book.failing and time.monotonic() < until:
        time.sleep(0.01)
    vault.ready()
    assert sum(page.count for page in records.table(IdentityPage).find()) == 100
    vault.close()
