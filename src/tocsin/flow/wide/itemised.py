"""Items as entries: their keys, and where those of a row begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tocsin.flow.wide.rows import Rows


def item_keys(rows: Rows, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the key of every item, its own (``items.sku``) or its event's: uint64 [m], present bool [m]."""
    if by.startswith("items."):
        return rows.items.keys(by.removeprefix("items."))
    keys, present = rows.keys(by)
    return keys[rows.items.row], present[rows.items.row]


def item_starts(rows: Rows) -> np.ndarray:
    """Return where each row's items begin, and the end: int64 [n + 1]."""
    starts: np.ndarray = np.searchsorted(rows.items.row, np.arange(rows.n + 1))
    return starts
