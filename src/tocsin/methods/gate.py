"""A gate before a dear model: which rows are worth it, by limits on cheap columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Rows pass where any named column is at least its limit; a missing value (NaN) passes nothing.

    >>> gate = Gate(least={"amount": 100.0, "card_n_1h": 4.0})
    >>> columns = {"amount": np.array([50.0, 150.0, np.nan]), "card_n_1h": np.array([1.0, 1.0, 5.0])}
    >>> gate(columns.__getitem__).tolist()
    [False, True, True]
    """

    least: dict[str, float]

    def __post_init__(self) -> None:
        """Refuse a gate that nothing or everything would pass unsaid."""
        if not self.least or not all(np.isfinite(limit) for limit in self.least.values()):
            raise ValueError("a gate needs at least one column with a finite limit")

    def __call__(self, column: Callable[[str], np.ndarray]) -> np.ndarray:
        """Return bool [n]; ``column`` gives the values float64 [n] of a name."""
        passed: np.ndarray | None = None
        for name, limit in self.least.items():
            reaches = column(name) >= limit
            passed = reaches if passed is None else passed | reaches
        assert passed is not None
        return passed
