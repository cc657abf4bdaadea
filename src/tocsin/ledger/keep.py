"""Keep: how long what is kept."""

from __future__ import annotations

import msgspec

from tocsin.errors import Misconfigured


class Keep(msgspec.Struct, frozen=True):
    """How many days events are kept, by type; 0: they never enter the history."""

    default: int
    types: dict[str, int] = {}
    prefixes: dict[str, int] = {}

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Return what a setting says: days for all, then ``type=days`` or ``prefix*=days``; Misconfigured otherwise.

        >>> keep = Keep.parse("30, label.given=400, tocsin.*=400, http.request=0")
        >>> keep.days("order.placed"), keep.days("tocsin.verdict"), keep.longer("http.request")
        (30, 400, False)
        """
        first, *rest = [part.strip() for part in text.split(",")]
        types: dict[str, int] = {}
        prefixes: dict[str, int] = {}
        for part in rest:
            name, _, days = part.partition("=")
            if not name.strip() or not days.strip().isdecimal():
                raise Misconfigured(f"settings: journal_keep_days holds {part!r}; it must be type=days")
            target = prefixes if name.strip().endswith("*") else types
            target[name.strip().removesuffix("*")] = int(days)
        if not first.isdecimal() or not int(first):
            raise Misconfigured(f"settings: journal_keep_days begins with {first!r}; it must be a number of days")
        return cls(int(first), types, prefixes)

    def days(self, name: str) -> int:
        """Return how many days events of that type, or rows of that table, are kept."""
        if name in self.types:
            return self.types[name]
        for prefix, days in self.prefixes.items():
            if name.startswith(prefix):
                return days
        return self.default

    def longer(self, name: str) -> bool:
        """Return whether it is kept longer than the journal is: then no segment goes before it is in the history."""
        return self.days(name) > self.default

    def ever(self, name: str) -> bool:
        """Return whether it enters the history at all."""
        return self.days(name) > 0
