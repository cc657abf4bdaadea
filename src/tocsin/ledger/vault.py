"""KeyVault: keyed pseudonyms, and values sealed under one random key a subject, which can be destroyed.

The installation has one master key in ``master.key`` (mode 0600). From it come, by BLAKE2b with a personal string,
the key of pseudonyms and the key that wraps the subjects' keys. A subject's key is random; destroying its wrapped form
makes everything sealed under it unreadable, wherever copies of the sealed values lie (crypto-shredding).

A forgotten subject stays forgotten: its pseudonym remains the same, but no identity is kept for it, and values that
come for it later are sealed under a throw-away key, until a person calls ``readmit``.

References: RFC 7693 (BLAKE2), NIST SP 800-38D (GCM) with random 96-bit nonces; the subject and the field name are
authenticated with each value, so a value cannot be passed off as another's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tocsin.core.events import Entity, split_subject, subject_of
from tocsin.core.records import SubjectKey, Switch
from tocsin.errors import Misconfigured, NotFound
from tocsin.ledger.audit import AuditTrail, wall_clock
from tocsin.ledger.cache import GenerationCache
from tocsin.ledger.disk import Disk
from tocsin.ledger.identities import IdentityBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tocsin.core.ports import Records

REVEALED = frozenset({Entity.ACCOUNT, Entity.DEVICE, Entity.CARD, Entity.ADDRESS})
"""Entities whose clear key is kept, sealed under their own key, for actuators. Never the session: it is a token."""
MASTER = "master.key"
PSEUDONYM_BYTES = 15
PSEUDONYM_LENGTH = 24
CACHED = 131_072
PENDING = 50_000
"""So many new subjects wait at most for ``flush``; the next one flushes by itself."""
LOOKUP = 500
_IDENTITY = "identity"
_CHECK = "vault.check"


class KeyVault:
    """Implements ``ports.Vault`` with the keys in the records and the master key in ``folder``.

    New keys wait in memory until ``flush``, which must come before the journal's commit: then no sealed value is ever
    on disk without its key. Safe for any thread; never call ``flush`` inside a transaction of the records.

    Raises
    ------
    Misconfigured
        The master key is missing although there are subjects, is not this installation's, or is open to others.
    """

    def __init__(self, records: Records, folder: Path | str, *, now: Callable[[], int] = wall_clock) -> None:
        self.folder = Path(folder)
        self._records = records
        self._now = now
        self.audit = AuditTrail(records, now=now)
        master = _master(records, self.folder / MASTER)
        self._name_key = _derived(master, b"tocsin.name")
        self.plane_seed = _derived(master, b"tocsin.plane")[:16]
        """Seeds the keyed hashes of the data plane; as stable as the master key."""
        self.revealed = frozenset(entity.value for entity in REVEALED)
        self.epoch = 0
        """Counts subjects that were forgotten or readmitted: who remembers which keys are noted starts anew."""
        self._wrap = AESGCM(_derived(master, b"tocsin.wrap"))
        self.book = IdentityBook(records, _derived(master, b"tocsin.book"), now=now, gone=self._shredded_of)
        """Identities that come by the million."""
        self._guard = threading.Lock()
        self._flushing = threading.RLock()
        self._names: GenerationCache[tuple[str, str, str], str] = GenerationCache(CACHED)
        self._ciphers: GenerationCache[str, AESGCM] = GenerationCache(CACHED // 4)
        self._shredded: set[str] | None = None
        self._hashes: dict[tuple[str, str], bytes] = {}
        self._new_keys: dict[str, bytes] = {}
        self._new_identities: dict[str, str] = {}

    # Pseudonyms -------------------------------------------------------------------------------------------------

    def pseudonym(self, shop: str, entity: str, key: str) -> str:
        """Return the keyed hash of a key: 24 base32 characters, stable for the installation, another in every shop."""
        name = (shop, entity, key)
        found = self._names.get(name)
        if found is None:
            found = self.hash_of(shop, entity, key)
            if entity in REVEALED:
                with self._guard:
                    self._new_identities[_row_id(shop, subject_of(entity, found))] = key
                    full = len(self._new_identities) >= PENDING
                if full:
                    self.flush()
            self._names.put(name, found)
        return found

    def hash_of(self, shop: str, entity: str, key: str) -> str:
        """Return the pseudonym of a key without taking note of its identity."""
        digest = hashlib.blake2b(key.encode(), key=self.scope(shop, entity), digest_size=PSEUDONYM_BYTES).digest()
        return base64.b32encode(digest).decode().lower()

    def scope(self, shop: str, entity: str) -> bytes:
        """Return the key, 32 bytes, under which an entity's keys are hashed in a shop: a secret like the master key."""
        scope = self._hashes.get((shop, entity))
        if scope is None:
            label = f"{len(shop)}:{shop}{entity}".encode()
            scope = hashlib.blake2b(label, key=self._name_key, digest_size=32).digest()
            self._hashes[(shop, entity)] = scope
        return scope

    def note(self, shop: str, entity: str, keys: Sequence[str]) -> None:
        """Take note of the identities behind keys that were pseudonymised elsewhere; written within a second."""
        if entity in self.revealed:
            self.book.note(shop, entity, self.scope(shop, entity), keys)

    def ready(self) -> None:
        """Raise Retryable where no more identities can be noted: the records do not take those that wait."""
        self.book.ready()

    def reveal(self, shop: str, entity: str, pseudonym: str, *, who: str, why: str) -> str:
        """Return the clear key behind a pseudonym, audited; NotFound where none was kept or it was forgotten."""
        subject = subject_of(entity, pseudonym)
        id = _row_id(shop, subject)
        with self._guard:
            waiting = self._new_identities.get(id)
        row = self._records.table(SubjectKey).get(id)
        if row is not None and row.identity:
            clear = _open(self._unwrapped(row), id, _IDENTITY, row.identity)
        elif waiting is not None and (row is None or not row.shredded):
            clear = waiting
        elif (row is None or not row.shredded) and (found := self.book.find(shop, entity, pseudonym)) is not None:
            clear = found
        else:
            raise NotFound(f"the vault holds no identity of {subject}")
        self.audit.note(who, "vault.reveal", f"{shop}/{subject}", {"why": why})
        return clear

    # Sealed values ----------------------------------------------------------------------------------------------

    def seal(self, shop: str, subject: str, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values encrypted under the subject's key (made at first use), by field name."""
        id = _row_id(shop, subject)
        cipher = self._ciphers.get(id) or self._cipher(id)
        return {name: _sealed(cipher, id, name, value) for name, value in values.items()}

    def open(self, shop: str, subject: str, sealed: Mapping[str, str], *, who: str, why: str) -> dict[str, str]:
        """Return the clear values, audited; NotFound for a forgotten subject, Misconfigured for values of another."""
        id = _row_id(shop, subject)
        with self._guard:
            fresh = self._new_keys.get(id)
        if fresh is not None:
            cipher = AESGCM(fresh)
        else:
            row = self._records.table(SubjectKey).get(id)
            if row is None or not row.wrapped:
                raise NotFound(f"the vault holds no key of {subject}")
            cipher = self._unwrapped(row)
        clear = {name: _open(cipher, id, name, value) for name, value in sealed.items()}
        self.audit.note(who, "vault.open", f"{shop}/{subject}", {"why": why, "fields": sorted(sealed)})
        return clear

    def shred(self, shop: str, subject: str, *, who: str = "tocsin", why: str = "forget") -> bool:
        """Destroy the subject's key for good; return whether there was one. Audited."""
        id = _row_id(shop, subject)
        self.flush()
        with self._records.transaction():
            table = self._records.table(SubjectKey)
            row = table.get(id)
            noted = self.book.drop(shop, *split_subject(subject))
            if (row is None or not row.wrapped) and not noted:
                return False
            created = row.created if row is not None else self._now()
            table.put(SubjectKey(id=id, created=created, shredded=max(1, self._now())))
            self._shredded = None
            self.audit.note(who, "vault.shred", id, {"why": why})
        self._ciphers.clear()
        self._names.clear()
        self.epoch += 1
        self._records.checkpoint()
        return True

    def readmit(self, shop: str, subject: str, *, who: str, why: str) -> bool:
        """Let a forgotten subject be known again from now on; return whether it had been forgotten. Audited."""
        id = _row_id(shop, subject)
        with self._records.transaction():
            table = self._records.table(SubjectKey)
            row = table.get(id)
            if row is None or not row.shredded:
                return False
            table.drop(id)
            self._shredded = None
            self.audit.note(who, "vault.readmit", id, {"why": why})
        self._ciphers.clear()
        self._names.clear()
        self.epoch += 1
        return True

    def knows(self, shop: str, subject: str) -> bool:
        """Return whether there is a key of that subject, or was one that was destroyed."""
        self.flush()
        return self._records.table(SubjectKey).get(_row_id(shop, subject)) is not None

    def _shredded_of(self, shop: str, entity: str) -> Collection[str]:
        """Return the pseudonyms that were forgotten; they are few, and known by heart."""
        if self._shredded is None:
            table, found, after = self._records.table(SubjectKey), set[str](), ""
            while True:
                rows = table.find({"shredded__gte": 1}, order="id", limit=LOOKUP, after=after)
                found |= {row.id for row in rows}
                if not rows.next:
                    break
                after = rows.next
            self._shredded = found
        mine = _row_id(shop, subject_of(entity, ""))
        return [id.removeprefix(mine) for id in self._shredded if id.startswith(mine)]

    def close(self) -> None:
        """Write what waits."""
        self.flush()
        self.book.close()

    def flush(self) -> None:
        """Make all new keys and identities durable in one transaction; Retryable when the disk refuses."""
        with self._flushing:
            with self._guard:
                ids, identities = self._new_keys.keys() | self._new_identities.keys(), dict(self._new_identities)
            if not ids:
                return
            self._store(sorted(ids), identities)
            with self._guard:
                for id in ids:
                    self._new_keys.pop(id, None)
                for id, clear in identities.items():
                    if self._new_identities.get(id) == clear:
                        del self._new_identities[id]

    # Keys -------------------------------------------------------------------------------------------------------

    def _cipher(self, id: str) -> AESGCM:
        """Return the cipher of a subject: kept, or made now and waiting for ``flush``."""
        row = self._records.table(SubjectKey).get(id)
        if row is not None and row.shredded:
            return AESGCM(secrets.token_bytes(32))
        with self._guard:
            # Asked again: another thread may have made and flushed the key since the row was read.
            cipher = self._ciphers.get(id)
            if cipher is None and row is not None:
                cipher = self._unwrapped(row)
            elif cipher is None:
                cipher = AESGCM(self._new_keys.setdefault(id, secrets.token_bytes(32)))
            self._ciphers.put(id, cipher)
        return cipher

    def _store(self, ids: Sequence[str], identities: Mapping[str, str]) -> None:
        table = self._records.table(SubjectKey)
        made = self._now()
        with self._records.transaction():
            rows: list[SubjectKey] = []
            for start in range(0, len(ids), LOOKUP):
                part = ids[start : start + LOOKUP]
                known = {row.id: row for row in table.find({"id": part}, limit=LOOKUP)}
                for id in part:
                    row = self._merged(id, known.get(id), identities.get(id), made)
                    if row is not None:
                        rows.append(row)
            table.put_many(rows)

    def _merged(self, id: str, row: SubjectKey | None, identity: str | None, made: int) -> SubjectKey | None:
        """Return the row to be written, or None where the stored one says it all already."""
        if row is None:
            with self._guard:
                # A thread that seals just now must find this key, not make a second one.
                key = self._new_keys.setdefault(id, secrets.token_bytes(32))
                cipher = AESGCM(key)
                self._ciphers.put(id, cipher)
            sealed = "" if identity is None else _sealed(cipher, id, _IDENTITY, identity)
            return SubjectKey(id=id, wrapped=_sealed_bytes(self._wrap, id, key), identity=sealed, created=made)
        if row.shredded or identity is None or row.identity:
            return None
        sealed = _sealed(self._unwrapped(row), id, _IDENTITY, identity)
        return SubjectKey(id=id, wrapped=row.wrapped, identity=sealed, created=row.created)

    def _unwrapped(self, row: SubjectKey) -> AESGCM:
        return AESGCM(_open_bytes(self._wrap, row.id, row.wrapped))


def _row_id(shop: str, subject: str) -> str:
    return f"{shop}/{subject}"


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=master, person=purpose, digest_size=32).digest()


def _sealed(cipher: AESGCM, id: str, name: str, value: str) -> str:
    return _sealed_bytes(cipher, f"{id}\x1f{name}", value.encode())


def _open(cipher: AESGCM, id: str, name: str, value: str) -> str:
    return _open_bytes(cipher, f"{id}\x1f{name}", value).decode()


def _sealed_bytes(cipher: AESGCM, belongs: str, value: bytes) -> str:
    nonce = os.urandom(12)
    return base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, value, belongs.encode())).decode()


def _open_bytes(cipher: AESGCM, belongs: str, value: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(value)
        return cipher.decrypt(raw[:12], raw[12:], belongs.encode())
    except (InvalidTag, ValueError) as error:
        raise Misconfigured(
            "vault: a value cannot be opened: it was changed, or sealed for another subject or under another master key"
        ) from error


def _master(records: Records, path: Path) -> bytes:
    """Return the master key, made at the first start; Misconfigured where it cannot be this installation's."""
    if path.exists():
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"vault: {path} is open to other users; run: chmod 600 {path}")
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if not re.fullmatch("[0-9a-f]{64}", text):
            raise Misconfigured(f"vault: {path} does not hold 64 hexadecimal digits; restore it from a backup")
        master = bytes.fromhex(text)
    elif records.table(SubjectKey).count() or records.table(Switch).get(_CHECK):
        raise Misconfigured(f"vault: {path} is missing, but there are keys made with it; restore it from a backup")
    else:
        master = secrets.token_bytes(32)
        path.parent.mkdir(parents=True, exist_ok=True)
        Disk().replace(path, master.hex().encode() + b"\n")
    check = hashlib.blake2b(key=master, person=b"tocsin.check", digest_size=16).hexdigest()
    known = records.table(Switch).get(_CHECK)
    if known is None:
        records.table(Switch).put(Switch(id=_CHECK, word=check))
    elif known.word != check:
        raise Misconfigured(f"vault: {path} is not the key of these records; restore the one that they were made with")
    return master
