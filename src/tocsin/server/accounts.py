"""Accounts: people, their sessions, and machines' keys. All times in microseconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import HOUR, SECOND
from tocsin.core.records import ApiKey, Role, Session, User
from tocsin.errors import BadEvent, Conflict, NotFound
from tocsin.server import passwords
from tocsin.server.audit import note
from tocsin.server.problems import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.ports import Records

FREE_FAILURES = 5
FIRST_LOCK_S = 5
LONGEST_LOCK_S = 900
KNOWN_KEYS_S = 5
"""How long a key is believed without asking the records again: what another process revokes ends at the latest then."""
MOST_KNOWN_KEYS = 2000
"""Entries that are remembered: one by a key's fingerprint, one by the header it comes in."""
KEY_PREFIX = "tcs_"


class Accounts:
    """People and keys of one installation; every change is audited."""

    def __init__(self, records: Records, now: Callable[[], int], *, session_hours: int = 12) -> None:
        self._records = records
        self._now = now
        self._session_hours = session_hours
        self._lock = threading.Lock()
        self._strangers: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._keys: OrderedDict[str | bytes, tuple[int, ApiKey]] = OrderedDict()
        """By fingerprint and by the header a key came in: when it was read, and what was read."""
        self._revocations = 0

    # People ---------------------------------------------------------------------------------------------------------

    def first_password(self) -> str:
        """Return the generated password of the first ``admin``, to be shown once; empty where there are people."""
        with self._records.transaction():
            if self._records.table(User).count():
                return ""
            return self.add("admin", Role.ADMIN, who="tocsin")

    def add(self, name: str, role: Role, *, who: str, language: str = "") -> str:
        """Add a person and return the password that they must change at their first sign-in."""
        secret = passwords.generated()
        user = User(
            id=name,
            role=role,
            password=passwords.hashed(secret),
            must_change=True,
            language=language,
            created=self._now(),
        )
        with self._records.transaction():
            if self._records.table(User).get(name) is not None:
                raise Conflict(f"there is a user {name} already")
            self._records.table(User).put(user)
            note(self._records, self._now(), who, "user.added", name, role=role.value)
        return secret

    def reset(self, name: str, *, who: str) -> str:
        """Give a person a fresh password, unlock the name, and end their sessions."""
        secret = passwords.generated()
        with self._records.transaction():
            user = self._user(name)
            self._records.table(User).put(
                msgspec.structs.replace(
                    user, password=passwords.hashed(secret), must_change=True, failures=0, locked_until=0
                )
            )
            self._end_sessions(name)
            note(self._records, self._now(), who, "user.password-reset", name)
        return secret

    def remove(self, name: str, *, who: str) -> None:
        """Remove a person; the last admin stays."""
        with self._records.transaction():
            user = self._user(name)
            admins = self._records.table(User).count({"role": Role.ADMIN.value})
            if user.role is Role.ADMIN and admins < 2:
                raise Conflict("this is the last admin; add another one first")
            self._records.table(User).drop(name)
            self._end_sessions(name)
            note(self._records, self._now(), who, "user.removed", name)

    def sign_in(self, name: str, password: str) -> tuple[str, Session, User]:
        """Return (cookie token, session, user). The same refusal for an unknown name and for a wrong password."""
        now = self._now()
        user = self._records.table(User).get(name)
        failures, locked = self._failures(name, user)
        if now < locked:
            wait = (locked - now) // SECOND + 1
            raise Refusal(
                429, "throttled", "too many failed sign-ins; wait, then try again", headers={"retry-after": str(wait)}
            )
        # An unknown name costs the same time as a wrong password.
        right = passwords.matches(password, user.password if user is not None else _nobody())
        if user is None or not right:
            self._failed(name, user, failures + 1, now)
            raise Refusal(401, "sign-in-failed", "name or password is wrong")
        token = passwords.token()
        session = Session(
            id=passwords.fingerprint(token),
            user=name,
            csrf=passwords.token(),
            created=now,
            expires=now + self._session_hours * HOUR,
        )
        with self._records.transaction():
            if user.failures:
                user = msgspec.structs.replace(user, failures=0, locked_until=0)
                self._records.table(User).put(user)
            for old in self._records.table(Session).find({"expires__lt": now}, limit=1000):
                self._records.table(Session).drop(old.id)
            self._records.table(Session).put(session)
            note(self._records, now, name, "session.opened")
        return token, session, user

    def session(self, token: str) -> tuple[Session, User] | None:
        """Return the live session of a cookie token with its user, or None."""
        session = self._records.table(Session).get(passwords.fingerprint(token))
        if session is None or session.expires <= self._now():
            return None
        user = self._records.table(User).get(session.user)
        return None if user is None else (session, user)

    def sign_out(self, session: Session) -> None:
        """End a session."""
        self._records.table(Session).drop(session.id)

    def change_password(self, user: User, old: str, new: str, *, keep: str) -> User:
        """Change one's own password; all other sessions of the person end. ``keep`` is the id of the one that stays."""
        if not passwords.matches(old, user.password):
            raise Refusal(403, "wrong-password", "the old password is wrong", field="old")
        if old == new:
            raise Refusal(422, "weak-password", "the new password is the old one", field="new")
        objection = passwords.objection(new, user.id)
        if objection:
            raise Refusal(422, "weak-password", objection, field="new")
        changed = msgspec.structs.replace(user, password=passwords.hashed(new), must_change=False)
        with self._records.transaction():
            self._records.table(User).put(changed)
            self._end_sessions(user.id, keep)
            note(self._records, self._now(), user.id, "user.password-changed", user.id)
        return changed

    # Keys -----------------------------------------------------------------------------------------------------------

    def make_key(self, name: str, scopes: Sequence[str], *, shop: str, who: str) -> tuple[str, ApiKey]:
        """Return (token, key); only the token's hash is stored, so it is seen this once."""
        wrong = sorted(set(scopes) - {"events", "verdicts", "read", "act"})
        if wrong or not scopes:
            raise BadEvent("scopes are events, verdicts, read, act", field="scopes", code="out-of-range")
        token = passwords.token(KEY_PREFIX)
        key = ApiKey(id=passwords.fingerprint(token), name=name, shop=shop, scopes=tuple(scopes), created=self._now())
        with self._records.transaction():
            self._records.table(ApiKey).put(key)
            note(self._records, self._now(), who, "key.made", name, scopes=list(scopes), shop=shop)
        return token, key

    def revoke(self, id: str, *, who: str) -> ApiKey:
        """End a key at once."""
        with self._records.transaction():
            key = self._records.table(ApiKey).get(id)
            if key is None:
                raise NotFound("there is no such key")
            key = msgspec.structs.replace(key, revoked=key.revoked or self._now())
            self._records.table(ApiKey).put(key)
            note(self._records, self._now(), who, "key.revoked", key.name)
        with self._lock:
            self._revocations += 1
            self._keys.clear()
        return key

    def key(self, token: str, header: bytes = b"") -> ApiKey | None:
        """Return the key of a token, or None where there is none or it was revoked.

        ``header`` is the Authorization header that the token came in: ``known`` is spared the hash for it.
        """
        id = passwords.fingerprint(token)
        known, revocations = self._keys.get(id), self._revocations
        now = self._now()
        if known is None or now - known[0] >= KNOWN_KEYS_S * SECOND:
            key = self._records.table(ApiKey).get(id)
            if key is None or key.revoked:
                return None
            known = now, key
        with self._lock:
            # What was read before a revocation must not be remembered after it.
            if revocations == self._revocations:
                self._keys[id] = known
                if header:
                    self._keys[header] = known
                while len(self._keys) > MOST_KNOWN_KEYS:
                    self._keys.popitem(last=False)
        return known[1]

    def known(self, header: bytes) -> ApiKey | None:
        """Return the key that an Authorization header was found to carry within the last seconds, or None."""
        known = self._keys.get(header)
        return known[1] if known is not None and self._now() - known[0] < KNOWN_KEYS_S * SECOND else None

    # Inside ---------------------------------------------------------------------------------------------------------

    def _user(self, name: str) -> User:
        user = self._records.table(User).get(name)
        if user is None:
            raise NotFound(f"there is no user {name}")
        return user

    def _end_sessions(self, name: str, keep: str = "") -> None:
        for session in self._records.table(Session).find({"user": name}, limit=10_000):
            if session.id != keep:
                self._records.table(Session).drop(session.id)

    def _failures(self, name: str, user: User | None) -> tuple[int, int]:
        if user is not None:
            return user.failures, user.locked_until
        with self._lock:
            return self._strangers.get(name, (0, 0))

    def _failed(self, name: str, user: User | None, failures: int, now: int) -> None:
        """Count a failure; from the fifth on the name is locked for a time that doubles, whether it exists or not."""
        locked = 0
        if failures >= FREE_FAILURES:
            seconds = min(LONGEST_LOCK_S, FIRST_LOCK_S * 2 ** min(failures - FREE_FAILURES, 10))
            locked = now + seconds * SECOND
        if user is None:
            with self._lock:
                self._strangers[name] = (failures, locked)
                self._strangers.move_to_end(name)
                while len(self._strangers) > 10_000:
                    self._strangers.popitem(last=False)
            return
        with self._records.transaction():
            self._records.table(User).put(msgspec.structs.replace(user, failures=failures, locked_until=locked))
            note(self._records, now, name, "session.refused", failures=failures)


@lru_cache(maxsize=1)
def _nobody() -> str:
    """Return the hash of a password that nobody has: a name that is not there takes as long as one that is."""
    return passwords.hashed(passwords.generated())
