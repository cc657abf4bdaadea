"""The book of identities: a page at a time, each findable until it is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tocsin.core.records import IdentityPage
from tocsin.errors import NotFound
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
