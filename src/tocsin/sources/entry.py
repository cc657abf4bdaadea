"""The data of one event on its way in: checked, pseudonymised, masked; what is to be sealed is set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.core.events import Kind, Privacy
from tocsin.errors import BadEvent
from tocsin.methods.masking import mask
from tocsin.sources.checks import (
    DEEPEST,
    EVERYWHERE,
    LARGEST_INTEGER,
    LONGEST_IP,
    LONGEST_KEY,
    MASKED_NAMES,
    PLAIN,
    PLANS,
    Usual,
    canonical_ip,
    storable,
)
from tocsin.sources.letters import PERSONAL_NAMES, PSEUDONYM_MARK, REMOVED, SEALED_MARK, SEALED_NAMES, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.core.ports import Vault
    from tocsin.sources.checks import Rule, Step

# Plain integers: an enumeration's member costs a look-up each time.
_TEXT, _KEY, _WHOLE, _CHOICE, _ADDRESS = (
    int(one) for one in (Usual.TEXT, Usual.KEY, Usual.WHOLE, Usual.CHOICE, Usual.ADDRESS)
)
_NEVER: Mapping[str, Step] = {}


class Entry:
    """The data of one event on its way in: what is kept, and what is still to be sealed."""

    __slots__ = ("kept", "redriven", "sealed", "shop", "to_seal", "vault")

    def __init__(self, vault: Vault, shop: str, redriven: bool) -> None:
        self.vault = vault
        self.shop = shop
        self.redriven = redriven
        self.kept: dict[str, Any] = {}
        self.to_seal: dict[str, str] = {}
        self.sealed: dict[str, str] = {}

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """Check every field by the plan of its type and do with it what its class says."""
        plan = PLANS.get(kind, PLAIN)
        # A dead letter that is driven again holds placeholders: every value of it is looked at.
        usual = _NEVER if self.redriven else plan.usual
        kept = self.kept
        for name, value in data.items():
            step = usual.get(name)
            if step is not None and value.__class__ is step[0]:
                how = step[1]
                if how == _TEXT:
                    kept[name] = value
                    continue
                if how == _WHOLE:
                    if -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
                        kept[name] = value
                        continue
                elif how == _CHOICE:
                    if value in step[2]:
                        kept[name] = value
                        continue
                elif how == _ADDRESS:
                    if len(value) <= LONGEST_IP and (found := canonical_ip(value)):
                        kept[name] = found
                        continue
                elif 0 < len(value) <= LONGEST_KEY:
                    kept[name] = value if how == _KEY else self.vault.pseudonym(self.shop, name, value)
                    continue
            if value is not None:
                self._take(name, value, plan.rules)
        for name in plan.required:
            if name not in kept and name not in self.to_seal and name not in self.sealed:
                raise BadEvent(f"data.{name} is missing", field=f"data.{name}", code="missing")

    def _take(self, name: str, value: Any, rules: Mapping[str, Rule]) -> None:
        """Check one field and do with it what its class says."""
        rule = rules.get(name)
        if rule is None:
            self._unknown(name, value)
            return
        if self.redriven and (value == REMOVED or self._placeholder(name, name, value, self.kept)):
            return
        check, field, privacy = rule
        checked = check(value, f"data.{name}", field)
        if privacy is Privacy.OPEN:
            if field.kind is Kind.OBJECT:
                self.kept[name] = self._walk(checked, f"data.{name}", 0)
            elif checked != "" or field.kind is not Kind.KEY:
                self.kept[name] = checked
        elif privacy is Privacy.MASKED:
            self.kept[name] = mask(checked)
        elif checked == "":
            return
        elif privacy is Privacy.PSEUDONYM:
            self.kept[name] = self.vault.pseudonym(self.shop, name, checked)
        else:
            self.to_seal[name] = checked

    def _placeholder(self, name: str, path: str, value: Any, kept: dict[str, Any]) -> bool:
        """Take the place-holder of a dead letter; return whether it was one."""
        if type(value) is not dict or len(value) != 1:
            return False
        if name in PERSONAL_NAMES and type(value.get(PSEUDONYM_MARK)) is str:
            kept[name] = value[PSEUDONYM_MARK]
            return True
        if name in SEALED_NAMES and type(value.get(SEALED_MARK)) is str:
            self.sealed[path] = value[SEALED_MARK]
            return True
        return False

    def _unknown(self, name: str, value: Any) -> None:
        """Keep a field the vocabulary does not know; inside it the names that are personal everywhere still count."""
        kind = type(value)
        if kind is str:
            self.kept[name] = mask(value) if name in MASKED_NAMES else value
        elif kind is dict or kind is list:
            self.kept[name] = self._walk(value, f"data.{name}", 0)
        else:
            self.kept[name] = storable(value, f"data.{name}")

    def _walk(self, value: Any, path: str, depth: int) -> Any:
        if depth >= DEEPEST:
            raise BadEvent(f"{path} is nested deeper than {DEEPEST} levels", field=path, code="malformed")
        if type(value) is list:
            return [self._walk(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(value)]
        if type(value) is not dict:
            return storable(value, path)
        kept: dict[str, Any] = {}
        for name, one in value.items():
            where = f"{path}.{name}"
            if self.redriven and (one == REMOVED or self._placeholder(name, where.removeprefix("data."), one, kept)):
                continue
            text = as_text(one)
            rule = EVERYWHERE.get(name) if text else None
            if rule is not None and rule[2] is Privacy.PSEUDONYM:
                kept[name] = self.vault.pseudonym(self.shop, name, text)
            elif rule is not None and rule[2] is Privacy.SEALED:
                self.to_seal[where.removeprefix("data.")] = text
            elif type(one) is str:
                kept[name] = mask(one) if name in MASKED_NAMES else one
            else:
                kept[name] = self._walk(one, where, depth + 1)
        return kept
