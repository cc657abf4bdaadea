"""Novelty: how unusual a row's features are among the shop's last ones, learned online in the journal's order.

A desk stays pure: what is learned lies with the fold, like windows do. Each shop has half-space trees of its own
(``methods.halfspace``), and the same stream gives the same scores however it is cut.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from tocsin.errors import Misconfigured
from tocsin.methods.halfspace import HalfSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class Novelty:
    """The novelty scores of one desk over the features that it names.

    Parameters
    ----------
    features
        Names of the desk's windows, the columns of every matrix.
    trees, depth, window, seed
        See ``HalfSpace``; a shop's first ``window`` rows are not scored.
    """

    def __init__(
        self, features: Sequence[str], *, trees: int = 25, depth: int = 10, window: int = 250, seed: int = 0
    ) -> None:
        if not features or len(set(features)) != len(features):
            raise Misconfigured("novelty needs the names of one or more features, each once")
        self.features = tuple(features)
        self._shape = {"trees": trees, "depth": depth, "window": window}
        self._seed = seed
        self._shops: dict[str, HalfSpace] = {}

    def step(self, matrix: np.ndarray, shops: Sequence[str] = ()) -> np.ndarray:
        """Score rows [n, k] in their order, NaN where a value is missing, then learn them.

        Returns float64 [n] in [0, 1], near 1 for what the shop's last rows were not like; NaN for a shop's first rows.
        ``shops`` names the shop of every row; without it all belong to one.
        """
        matrix = np.atleast_2d(np.asarray(matrix, np.float64))
        if not len(shops):
            return self._of("").step(matrix)
        names = np.asarray(shops, object)
        if len(names) != len(matrix):
            raise ValueError(f"{len(names)} shops for {len(matrix)} rows")
        scores = np.full(len(matrix), np.nan)
        for shop in dict.fromkeys(names.tolist()):
            mine = np.flatnonzero(names == shop)
            scores[mine] = self._of(shop).step(matrix[mine])
        return scores

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what was learned as plain values and copies of arrays, as snapshots keep them."""
        shops = sorted(self._shops)
        arrays = {
            f"{place}.{name}": array
            for place, shop in enumerate(shops)
            for name, array in self._shops[shop].state().items()
        }
        return {"features": list(self.features), "seed": self._seed, "shops": shops}, arrays

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bool:
        """Take up what ``state`` returned; False, and nothing is known, where features, shape or seed have changed."""
        self._shops.clear()
        if tuple(meta["features"]) != self.features or meta["seed"] != self._seed:
            return False
        for place, shop in enumerate(meta["shops"]):
            mine = f"{place}."
            try:
                self._of(shop).restore({n.removeprefix(mine): a for n, a in arrays.items() if n.startswith(mine)})
            except ValueError:
                self._shops.clear()
                return False
        return True

    def digest(self) -> str:
        """Return the hash of what was learned: equal for equal streams."""
        found = hashlib.blake2b(repr((self.features, self._shape, self._seed)).encode(), digest_size=16)
        for shop, trees in sorted(self._shops.items()):
            found.update(f"{shop}\0{trees.digest()}".encode())
        return found.hexdigest()

    def _of(self, shop: str) -> HalfSpace:
        trees = self._shops.get(shop)
        if trees is None:
            trees = self._shops[shop] = HalfSpace(len(self.features), seed=self._seed, **self._shape)
        return trees
