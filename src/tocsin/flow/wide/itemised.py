"""Items as entries: their keys, and which of them pass a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.events import Event
    from tocsin.flow.wide.rows import Rows

ItemFilter = "Callable[[dict[str, Any], Event], bool]"


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


def item_mask(rows: Rows, of: tuple[str, ...], keep: Callable[[dict[str, Any], Event], bool] | None) -> np.ndarray:
    """Return which items belong to events of these types and pass a filter: bool [m]."""
    mask: np.ndarray = rows.of_type(*of)[rows.items.row]
    if keep is not None:
        starts = item_starts(rows)
        for row in np.unique(rows.items.row[mask]).tolist():
            event = rows.events[row]
            docs = [item for item in event.data["items"] if isinstance(item, dict)]
            mask[starts[row] : starts[row + 1]] = [keep(item, event) for item in docs]
    return mask
