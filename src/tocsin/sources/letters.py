"""Dead letters: what of a refused document may be kept and seen, so that it can be mended and driven again.

Personal keys stand as their pseudonyms and sealed values encrypted, each in an object with one marked member; where a
value has not the shape for that it is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.core.events import Entity, Kind, Privacy
from tocsin.core.vocabulary import PERSONAL, VOCABULARY, sealed_under
from tocsin.methods.masking import mask
from tocsin.sources.checks import DEEPEST, EVERYWHERE, PLAIN, PLANS

if TYPE_CHECKING:
    from tocsin.core.ports import Vault

REMOVED = "[removed]"
PSEUDONYM_MARK = "$pseudonym"
SEALED_MARK = "$sealed"

PERSONAL_NAMES = frozenset(entity.value for entity in PERSONAL)
KEY_NAMES = frozenset(entity.value for entity in Entity) | {
    field.name for kind in VOCABULARY.values() for field in kind.fields if field.kind is Kind.KEY
}
SEALED_NAMES = frozenset(
    field.name for kind in VOCABULARY.values() for field in kind.fields if field.privacy is Privacy.SEALED
)
_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "shop"})
_OPEN_NAMES = KEY_NAMES - PERSONAL_NAMES


def buried(document: Any, vault: Vault, shop: str) -> Any:
    """Return a refused document for the dead-letter box of a shop."""
    clean = redact(document)
    if type(document) is not dict or type(document.get("data")) is not dict:
        return clean
    owner: dict[str, object] = {}
    for name in PERSONAL_NAMES:
        text = as_text(document["data"].get(name))
        if text:
            owner[name] = vault.pseudonym(shop, name, text)
    subject = sealed_under(owner, str(document.get("source", "")), str(document.get("id", "")))
    kind = document.get("type")
    rules = PLANS.get(kind, PLAIN).rules if type(kind) is str else {}
    for name, value in document["data"].items():
        rule = rules.get(name)
        clean["data"][name] = _buried(vault, value, name, rule and rule[2], (shop, subject, name), 2)
    return clean


def _buried(
    vault: Vault, value: Any, name: str, privacy: Privacy | None, place: tuple[str, str, str], depth: int
) -> Any:
    """Return one value for the box; ``place`` is (shop, subject, path within data)."""
    shop, subject, path = place
    text = as_text(value)
    if privacy is Privacy.PSEUDONYM and text:
        return {PSEUDONYM_MARK: vault.pseudonym(shop, name, text)}
    if privacy is Privacy.SEALED and text:
        return {SEALED_MARK: vault.seal(shop, subject, {path: text})[path]}
    if privacy in (Privacy.PSEUDONYM, Privacy.SEALED) or type(value) not in (dict, list) or depth >= DEEPEST:
        return _redacted(value, name, depth)
    if type(value) is list:
        return [
            _buried(vault, one, "", None, (shop, subject, f"{path}[{index}]"), depth + 1)
            for index, one in enumerate(value)
        ]
    found: dict[str, Any] = {}
    for key, one in value.items():
        rule = EVERYWHERE.get(key)
        found[key] = _buried(vault, one, key, rule and rule[2], (shop, subject, f"{path}.{key}"), depth + 1)
    return found


def redact(document: Any) -> Any:
    """Return a document without sealed and pseudonym values, whatever its shape; every other text is masked."""
    return _redacted(document, "", 0)


def _redacted(value: Any, name: str, depth: int) -> Any:
    """Return one value for people's eyes; ``depth`` is 1 for the attributes, 2 for the fields of the data."""
    # Deeper down ``name`` is the name of a thing, as in the lines of an order.
    hidden = name in PERSONAL_NAMES or (name in SEALED_NAMES and (name != "name" or depth <= 2))
    if hidden and value is not None:
        return REMOVED
    if type(value) is str:
        if depth == 1 and name in _ATTRIBUTES:
            return value
        if name == "subject" and value.partition(":")[0] not in _OPEN_NAMES:
            return REMOVED
        return mask(value)
    if type(value) is int and mask(str(value)) != str(value):
        return REMOVED
    if type(value) not in (dict, list):
        return value
    if depth >= DEEPEST:
        return REMOVED
    if type(value) is dict:
        return {str(key): _redacted(one, str(key), depth + 1) for key, one in value.items()}
    return [_redacted(one, name, depth + 1) for one in value]


def as_text(value: Any) -> str:
    """Return a key or sealed value as the door keeps it, empty where it is not of that shape."""
    if type(value) is int:
        return str(value)
    return value if type(value) is str else ""
