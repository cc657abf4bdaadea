"""Codes of names: event types and fields as small integers, the vocabulary's first, and shops in order of arrival."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.events import Kind
from tocsin.core.vocabulary import INTERNAL, VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Iterable

OTHER = 0
"""The code of a type that nothing declares and for which there was no room."""
MOST_TYPES = 4096
"""Types come from outside: beyond so many, further ones share ``OTHER``. What a desk declares always has its own."""
ITEM_FIELDS = ("sku", "quantity", "price", "name")
"""The fields of an order item, by slot."""


class Names:
    """The codes of one fold; they live as long as the process and are never stored. Any thread may ask."""

    def __init__(self) -> None:
        self.types: list[str] = ["(other)", *VOCABULARY, *INTERNAL]
        self.type_code = {name: code for code, name in enumerate(self.types)}
        known = {field.name: field for kind in VOCABULARY.values() for field in kind.fields}
        self.fields = [name for name, field in known.items() if field.kind is not Kind.ITEMS]
        self.slot = {name: slot for slot, name in enumerate(self.fields)}
        self._among: dict[tuple[str, ...], np.ndarray] = {}
        self.shops: list[str] = []
        self.shop_code: dict[str, int] = {}
        self._adding = threading.Lock()

    def type(self, name: str) -> int:
        """Return the code of an event type that came with an event."""
        code = self.type_code.get(name)
        if code is None:
            if len(self.types) >= MOST_TYPES:
                return OTHER
            code = self.declare_type(name)
        return code

    def declare_type(self, name: str) -> int:
        """Return the code of a type that somebody reads."""
        code = self.type_code.get(name)
        return self._added(name, self.types, self.type_code) if code is None else code

    def declare(self, types: Iterable[str]) -> frozenset[int]:
        """Return the codes of types that somebody reads."""
        return frozenset(self.declare_type(name) for name in types)

    def among(self, types: tuple[str, ...]) -> np.ndarray:
        """Return by code whether a type is one of these, bool [codes]: not to be written to."""
        known = self._among.get(types)
        if known is None or len(known) < len(self.types):
            codes = [self.declare_type(name) for name in types]
            known = np.zeros(len(self.types), bool)
            known[codes] = True
            self._among[types] = known
        return known

    def shop(self, name: str) -> int:
        """Return the code of a shop."""
        code = self.shop_code.get(name)
        return self._added(name, self.shops, self.shop_code) if code is None else code

    def _added(self, name: str, names: list[str], codes: dict[str, int]) -> int:
        with self._adding:
            code = codes.get(name)
            if code is None:
                code = len(names)
                # In the list first: whoever finds the code finds the name.
                names.append(name)
                codes[name] = code
            return code
