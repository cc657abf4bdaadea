"""The vault: stable names, values that only their subject's key opens, and forgetting that holds."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.records import Audit, SubjectKey, Switch
from tocsin.errors import Misconfigured, NotFound, Retryable
from tocsin.ledger.audit import AuditTrail, verify_audit
from tocsin.ledger.cache import GenerationCache
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.records import SqlRecords
from tocsin.ledger.vault import KeyVault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tocsin.core.ports import Records


@pytest.fixture(params=["memory", "sql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    store: Records = (
        MemoryRecords() if request.param == "memory" else SqlRecords(f"sqlite:///{tmp_path / 'records.sqlite'}")
    )
    yield store
    store.close()


@pytest.fixture
def vault(records: Records, tmp_path: Path) -> KeyVault:
    return KeyVault(records, tmp_path, now=lambda: 1000)


KEYS = st.tuples(st.text(max_size=6), st.sampled_from(["account", "card", "session"]), st.text(max_size=12))


@settings(max_examples=60, deadline=None)
@given(KEYS, KEYS)
def test_the_same_key_has_the_same_pseudonym_and_another_shop_entity_or_key_has_another(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    names = [VAULT.pseudonym(*one), VAULT.pseudonym(*other)]
    assert (names[0] == names[1]) == (one == other)
    assert names[0] == VAULT.hash_of(*one)
    assert all(len(name) == 24 and set(name) <= set("abcdefghijklmnopqrstuvwxyz234567") for name in names)


@pytest.fixture(scope="module", autouse=True)
def _shared_vault(tmp_path_factory: pytest.TempPathFactory) -> None:
    global VAULT
    VAULT = KeyVault(MemoryRecords(), tmp_path_factory.mktemp("vault"))


VAULT: KeyVault


def test_a_pseudonym_outlives_the_process_and_differs_between_installations(tmp_path: Path) -> None:
    records = MemoryRecords()
    first = KeyVault(records, tmp_path).pseudonym("s", "account", "alice")
    assert KeyVault(records, tmp_path).pseudonym("s", "account", "alice") == first
    assert KeyVault(MemoryRecords(), tmp_path / "other").pseudonym("s", "account", "alice") != first


def test_what_was_sealed_is_opened_before_and_after_flush_and_audited(vault: KeyVault, records: Records) -> None:
    sealed = vault.seal("s", "account:x", {"email": "a@b.example", "name": "甲"})
    assert "a@b" not in str(sealed)
    for _ in range(2):
        clear = vault.open("s", "account:x", sealed, who="webhook", why="order.hold")
        assert clear == {"email": "a@b.example", "name": "甲"}
        vault.flush()
    again = KeyVault(records, vault.folder)
    assert again.open("s", "account:x", sealed, who="webhook", why="again") == clear
    trail = records.table(Audit).find(order="id")
    assert [(one.who, one.what, one.target) for one in trail] == [("webhook", "vault.open", "s/account:x")] * 3
    assert trail[0].detail == {"why": "order.hold", "fields": ["email", "name"]}


def test_a_value_cannot_be_passed_off_as_anothers(vault: KeyVault) -> None:
    sealed = vault.seal("s", "account:x", {"email": "a@b.example"})
    vault.seal("s", "account:y", {"email": "c@d.example"})
    vault.seal("t", "account:x", {"email": "c@d.example"})
    for shop, subject, values in (
        ("s", "account:y", sealed),
        ("t", "account:x", sealed),
        ("s", "account:x", {"phone": sealed["email"]}),
        ("s", "account:x", {"email": "not base64!"}),
    ):
        with pytest.raises(Misconfigured, match="cannot be opened"):
            vault.open(shop, subject, values, who="w", why="y")


def test_no_value_is_opened_without_its_key(vault: KeyVault) -> None:
    with pytest.raises(NotFound):
        vault.open("s", "account:nobody", {}, who="w", why="y")


@pytest.mark.parametrize("entity", ["account", "device", "card", "address"])
def test_an_identity_is_revealed_to_who_says_why(vault: KeyVault, records: Records, entity: str) -> None:
    name = vault.pseudonym("s", entity, "clear 甲")
    assert vault.reveal("s", entity, name, who="w", why="y") == "clear 甲"
    vault.flush()
    assert vault.reveal("s", entity, name, who="w", why="y") == "clear 甲"
    assert "clear" not in str(records.table(SubjectKey).find())
    assert records.table(Audit).count({"what": "vault.reveal"}) == 2


def test_a_session_is_never_revealed(vault: KeyVault) -> None:
    name = vault.pseudonym("s", "session", "token")
    vault.flush()
    with pytest.raises(NotFound):
        vault.reveal("s", "session", name, who="w", why="y")


def test_an_identity_is_added_to_a_key_that_was_made_for_sealing(vault: KeyVault) -> None:
    name = vault.hash_of("s", "account", "alice")
    sealed = vault.seal("s", f"account:{name}", {"email": "a@b.example"})
    vault.flush()
    assert vault.pseudonym("s", "account", "alice") == name
    vault.flush()
    assert vault.reveal("s", "account", name, who="w", why="y") == "alice"
    assert vault.open("s", f"account:{name}", sealed, who="w", why="y") == {"email": "a@b.example"}


@pytest.mark.parametrize("flushed", [True, False])
def test_after_shredding_nothing_is_opened_or_revealed_any_more(
    vault: KeyVault, records: Records, flushed: bool
) -> None:
    name = vault.pseudonym("s", "account", "alice")
    subject = f"account:{name}"
    sealed = vault.seal("s", subject, {"email": "a@b.example"})
    if flushed:
        vault.flush()
    assert vault.shred("s", subject)
    assert not vault.shred("s", subject)
    for _ in range(2):
        with pytest.raises(NotFound):
            vault.open("s", subject, sealed, who="w", why="y")
        with pytest.raises(NotFound):
            vault.reveal("s", "account", name, who="w", why="y")
        # The subject comes again, and stays forgotten.
        assert vault.pseudonym("s", "account", "alice") == name
        late = vault.seal("s", subject, {"email": "a@b.example"})
        assert set(late) == {"email"}
        vault.flush()
    assert records.table(SubjectKey).get(f"s/{subject}") == SubjectKey(id=f"s/{subject}", created=1000, shredded=1000)
    with pytest.raises(NotFound):
        vault.open("s", subject, late, who="w", why="y")


def test_a_readmitted_subject_is_known_again_but_its_past_is_not(vault: KeyVault) -> None:
    name = vault.pseudonym("s", "account", "alice")
    subject = f"account:{name}"
    old = vault.seal("s", subject, {"email": "old@b.example"})
    vault.shred("s", subject)
    assert vault.readmit("s", subject, who="admin", why="asked to come back")
    assert not vault.readmit("s", subject, who="admin", why="twice")
    vault.pseudonym("s", "account", "alice")
    new = vault.seal("s", subject, {"email": "new@b.example"})
    assert vault.open("s", subject, new, who="w", why="y") == {"email": "new@b.example"}
    assert vault.reveal("s", "account", name, who="w", why="y") == "alice"
    with pytest.raises(Misconfigured):
        vault.open("s", subject, old, who="w", why="y")


def test_nothing_that_is_stored_holds_a_clear_value(tmp_path: Path) -> None:
    records = SqlRecords(f"sqlite:///{tmp_path / 'records.sqlite'}")
    vault = KeyVault(records, tmp_path)
    name = vault.pseudonym("s", "account", "clear-account-key")
    sealed = vault.seal("s", f"account:{name}", {"email": "clear-mail-address"})
    vault.flush()
    vault.open("s", f"account:{name}", sealed, who="w", why="y")
    vault.reveal("s", "account", name, who="w", why="y")
    assert not any(b"clear-" in path.read_bytes() for path in tmp_path.iterdir())
    records.close()


def test_the_master_key_is_private_and_must_be_the_right_one(records: Records, tmp_path: Path) -> None:
    KeyVault(records, tmp_path)
    path = tmp_path / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        KeyVault(records, tmp_path)
    path.chmod(0o600)
    kept = path.read_text()
    path.write_text("ab" * 32)
    with pytest.raises(Misconfigured, match="not the key of these records"):
        KeyVault(records, tmp_path)
    path.write_text("no key")
    with pytest.raises(Misconfigured, match="64 hexadecimal digits"):
        KeyVault(records, tmp_path)
    os.unlink(path)
    with pytest.raises(Misconfigured, match="missing"):
        KeyVault(records, tmp_path)
    path.write_text(kept)
    path.chmod(0o600)
    KeyVault(records, tmp_path)


class Stubborn(MemoryRecords):
    """Refuses every transaction for as long as ``full`` is set."""

    full = False

    def transaction(self) -> AbstractContextManager[None]:
        if self.full:
            raise Retryable("records: database or disk is full")
        return super().transaction()


def test_keys_that_could_not_be_stored_wait_for_the_next_flush(tmp_path: Path) -> None:
    records = Stubborn()
    vault = KeyVault(records, tmp_path)
    vault.seal("s", "account:before", {"email": "a@b.example"})
    name = vault.pseudonym("s", "account", "alice")
    records.full = True
    with pytest.raises(Retryable):
        vault.flush()
    records.full = False
    vault.flush()
    assert records.table(SubjectKey).count() == 2
    assert vault.reveal("s", "account", name, who="w", why="y") == "alice"


def test_threads_that_seal_while_keys_are_flushed_lose_no_value(records: Records, vault: KeyVault) -> None:
    sealed: list[tuple[str, dict[str, str]]] = []

    def work() -> None:
        for n in range(60):
            subject = f"account:{vault.pseudonym('s', 'account', str(n))}"
            sealed.append((subject, vault.seal("s", subject, {"email": str(n)})))
            if n % 7 == 0:
                vault.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    vault.flush()
    again = KeyVault(records, vault.folder)
    assert len(sealed) == 240
    for place, (subject, values) in enumerate(sealed):
        if place % 8 == 0:
            assert again.open("s", subject, values, who="w", why="y")["email"].isdigit()


# The trail


def test_a_trail_that_nobody_touched_verifies(records: Records) -> None:
    assert verify_audit(records) is None
    trail = AuditTrail(records, now=lambda: 5)
    for n in range(5):
        trail.note("alice", "action.approve", f"a{n}", {"n": n, "nested": {"b": 1, "a": [None, 1.5]}})
    AuditTrail(records, now=lambda: 3).note("bob", "rule.save")
    assert verify_audit(records) is None
    times = [one.time for one in records.table(Audit).find(order="id")]
    assert times == sorted(times)


@pytest.mark.parametrize("hurt", ["change", "remove", "cut", "swap", "all"])
def test_what_was_changed_in_the_trail_is_named(records: Records, hurt: str) -> None:
    trail = AuditTrail(records, now=lambda: 5)
    made = [trail.note("alice", "action.approve", f"a{n}") for n in range(5)]
    table = records.table(Audit)
    if hurt == "change":
        table.put(msgspec.structs.replace(made[2], who="bob"))
    elif hurt == "swap":
        table.put(msgspec.structs.replace(made[2], target="a3"))
        table.put(msgspec.structs.replace(made[3], target="a2"))
    elif hurt == "remove":
        table.drop(made[2].id)
    elif hurt == "all":
        for one in made:
            table.drop(one.id)
    else:
        table.drop(made[4].id)
    assert verify_audit(records) == made[{"cut": 4, "all": 0}.get(hurt, 2)].id
    assert records.table(Switch).get("audit.head") is not None


# The cache


@given(st.lists(st.integers(0, 8)), st.integers(1, 6))
def test_a_cache_never_lies_and_keeps_the_last_half(asked: list[int], size: int) -> None:
    cache: GenerationCache[int, int] = GenerationCache(size)
    for key in asked:
        found = cache.get(key)
        assert found in (None, key * 2)
        if found is None:
            cache.put(key, key * 2)
    last = list(dict.fromkeys(reversed(asked)))[: max(1, size // 2)]
    assert all(cache.get(key) == key * 2 for key in reversed(last[:1]))
    cache.clear()
    assert cache.get(1) is None
