"""Seeded randomness: one numpy Generator per actor, so that what one actor draws never shifts another's numbers."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
_NORMAL = NormalDist()
_BLOCK = 32


class Draws:
    """The random numbers of one actor, fixed by its key alone.

    >>> Draws(1, "visit", 7).integer(100) == Draws(1, "visit", 7).integer(100)
    True
    """

    def __init__(self, *key: int | str) -> None:
        self._key = key
        self._aside: Draws | None = None
        digest = hashlib.blake2b("\x1f".join(str(part) for part in key).encode(), digest_size=16).digest()
        self._generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
        self._block: list[float] = []

    @property
    def aside(self) -> Draws:
        """A second stream for what happens to the actor: it leaves what the actor wants untouched."""
        if self._aside is None:
            self._aside = Draws(*self._key, "aside")
        return self._aside

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """Return True with that probability."""
        return self.unit() < probability

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, count: int) -> int:
        """Return an integer in [0, count)."""
        return int(self.unit() * count)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, all equally likely."""
        return choices[int(self.unit() * len(choices))]

    def weighted(self, choices: Sequence[T], edges: Sequence[float]) -> T:
        """Return one of the choices; ``edges`` are their cumulative weights (see ``edges_of``)."""
        return choices[min(bisect(edges, self.unit() * edges[-1]), len(choices) - 1)]

    def gap(self, mean: float) -> float:
        """Return an exponential waiting time of that mean."""
        return -mean * math.log1p(-self.unit())

    def lognormal(self, median: float, sigma: float) -> float:
        """Return a log-normal number of that median."""
        return median * math.exp(sigma * _NORMAL.inv_cdf(max(self.unit(), 1e-12)))

    def poisson(self, mean: float) -> int:
        """Return a Poisson count of that mean."""
        return int(self._generator.poisson(mean))

    def hexadecimal(self, digits: int) -> str:
        """Return that many random hexadecimal digits."""
        return f"{int(self._generator.integers(0, 1 << 60)):015x}"[-digits:]


def edges_of(weights: Sequence[float]) -> list[float]:
    """Return the cumulative weights that ``Draws.weighted`` takes.

    >>> edges_of([1.0, 3.0])
    [1.0, 4.0]
    """
    return list(accumulate(weights))
