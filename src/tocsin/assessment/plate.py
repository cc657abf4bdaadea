"""A plain table whose columns have found their part."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.core.signal import Text
from tocsin.methods.encoding import Feature


class LeftOut(msgspec.Struct, frozen=True):
    """A column that no model sees, and why."""

    column: str
    code: str
    """``label-copy``, ``identity``, ``constant``, ``empty``, ``free-text``, ``no-number``, ``asked``."""
    text: Text


class Plate(msgspec.Struct, kw_only=True):
    """A table with the part that each column plays in it; ``n`` rows in the order of the table."""

    n: int
    features: list[Feature]
    label: str = ""
    y: Any = None
    """float64 [n]: 1, 0, NaN without a label; None where there is no label column."""
    time: str = ""
    at: Any = None
    """int64 [n] microseconds; None where there is no time column."""
    amount: str = ""
    keys: dict[str, Any] = {}
    """Column -> object [n] of key texts or None."""
    left_out: list[LeftOut] = []
    notes: list[Text] = []
    unreadable: dict[str, tuple[int, tuple[int, ...]]] = {}
    """Number column -> (cells that are no number, the first rows of them, from 1)."""

    def feature(self, name: str) -> Feature | None:
        """Return the feature of that name, or None."""
        return next((feature for feature in self.features if feature.name == name), None)
