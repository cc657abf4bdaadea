"""The vault of one assessment: pseudonyms keyed by what was read, sealed values dropped, nothing stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tocsin.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping


class PassingVault:
    """Implements ``core.ports.Vault`` for one run.

    The key derives from the first bytes of the files, so the same files give the same report, and nobody who does not
    have the files can turn a pseudonym back.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"tocsin.assess").digest()

    def pseudonym(self, shop: str, entity: str, key: str) -> str:
        """Return the keyed hash of a key, 24 characters."""
        text = "\x1f".join((shop, entity, key)).encode()
        return hashlib.blake2b(text, key=self._key, digest_size=12).hexdigest()

    def seal(self, shop: str, subject: str, values: Mapping[str, str]) -> dict[str, str]:
        """Return nothing: an assessment keeps no sealed value."""
        return {}

    def open(self, shop: str, subject: str, sealed: Mapping[str, str], *, who: str, why: str) -> dict[str, str]:
        """Raise NotFound: there is nothing to open."""
        raise NotFound("an assessment keeps no sealed values")

    def shred(self, shop: str, subject: str) -> bool:
        """Return False: there is no key of a single subject."""
        return False
