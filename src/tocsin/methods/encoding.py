"""Columns of a plain table as a matrix, fitted on training rows alone; every matrix column knows whose it is.

Numbers are cleaned (``cleaning``); categories become one indicator per frequent level; texts of several words one
indicator per frequent word; keys (accounts, devices) the logarithm of how often the training rows saw them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.methods.cleaning import Cleaner, Fill
from tocsin.methods.cleaning import fit as fit_cleaner

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = 20
WORDS = 30
_WORD = re.compile(r"[^\s,;|>/\-_+·，；、。]+")


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the table.

    ``kind`` is ``number`` (values float64 [n], NaN missing), ``category``, ``words`` or ``key`` (values object [n] of
    text or None).
    """

    name: str
    kind: str
    values: Any

    def rows(self, rows: np.ndarray) -> Feature:
        """Return the same column of these rows only."""
        return msgspec.structs.replace(self, values=self.values[rows])


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What was fitted for one column: its cleaner, or its levels with their training counts."""

    name: str
    kind: str
    cleaner: Cleaner | None = None
    levels: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    gaps: bool = False
    """Whether a missing value gets an indicator of its own."""

    @property
    def width(self) -> int:
        """How many matrix columns it makes."""
        return (1 if self.kind in ("number", "key") else len(self.levels)) + self.gaps

    def names(self) -> list[str]:
        """Return what each matrix column shows, as ``column`` or ``column = level``."""
        levels = [self.name] if self.kind in ("number", "key") else [f"{self.name} = {level}" for level in self.levels]
        return [*levels, f"{self.name} = ?"] if self.gaps else levels


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted encoding of a table; ``blocks`` in the order of its columns."""

    blocks: tuple[Block, ...]

    @property
    def names(self) -> list[str]:
        """What each matrix column shows."""
        return [name for block in self.blocks for name in block.names()]

    def owners(self) -> np.ndarray:
        """Return int [k]: the table column that each matrix column belongs to."""
        return np.repeat(np.arange(len(self.blocks)), [block.width for block in self.blocks])

    def matrix(self, features: Sequence[Feature], at: np.ndarray, *, raw: bool = False) -> np.ndarray:
        """Return float64 [n, k]; with ``raw`` numbers stay as they are, gaps as NaN (for trees)."""
        parts = [_encoded(block, feature, at, raw) for block, feature in zip(self.blocks, features, strict=True)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(at), 0))

    def keep(self, features: Sequence[Feature]) -> np.ndarray:
        """Return bool [n]: the training rows that no column's ``drop`` leaves out."""
        keep = np.ones(len(features[0].values) if features else 0, bool)
        for block, feature in zip(self.blocks, features, strict=True):
            if block.cleaner is not None and block.cleaner.fill is Fill.DROP:
                keep &= ~np.isnan(feature.values)
        return keep


def fit_encoder(
    features: Sequence[Feature], at: np.ndarray, y: np.ndarray | None, *, ordered: bool, seed: int = 0
) -> Encoder:
    """Return the encoder fitted on these rows; ``at`` are their positions, ``y`` their labels where there are any."""
    return Encoder(blocks=tuple(_fitted(feature, at, y, ordered, seed) for feature in features))


def _fitted(feature: Feature, at: np.ndarray, y: np.ndarray | None, ordered: bool, seed: int) -> Block:
    if feature.kind == "number":
        target = None if y is None else y.astype(np.float64)
        cleaner = fit_cleaner(feature.values, at, target, ordered=ordered, may_drop=y is not None, seed=seed)
        return Block(name=feature.name, kind="number", cleaner=cleaner, gaps=cleaner.missing > 0)
    present = [value for value in feature.values if value is not None]
    gaps = len(present) < len(feature.values)
    if feature.kind == "key":
        return Block(name=feature.name, kind="key", counts=dict(Counter(present)), gaps=gaps)
    least = max(2, len(present) // 1000)
    counts = Counter(word for value in present for word in (words(value) if feature.kind == "words" else (value,)))
    most = WORDS if feature.kind == "words" else LEVELS
    common = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    levels = tuple(level for level, count in common if count >= least)
    return Block(name=feature.name, kind=feature.kind, levels=levels, gaps=gaps)


def words(text: str) -> frozenset[str]:
    """Return the distinct words of a text.

    >>> sorted(words("login>view>pay,pay"))
    ['login', 'pay', 'view']
    """
    return frozenset(_WORD.findall(text))


def _encoded(block: Block, feature: Feature, at: np.ndarray, raw: bool) -> np.ndarray:
    values = feature.values
    n = len(values)
    if block.kind == "number":
        assert block.cleaner is not None
        gaps = np.isnan(values)
        column = values.astype(np.float64) if raw else block.cleaner.apply(values, at)
        return np.column_stack([column, gaps.astype(np.float64)]) if block.gaps else column.reshape(n, 1)
    missing = np.array([value is None for value in values], np.float64)
    if block.kind == "key":
        column = np.array([np.log1p(block.counts.get(value, 0)) for value in values], np.float64)
        return np.column_stack([column, missing]) if block.gaps else column.reshape(n, 1)
    out = np.zeros((n, len(block.levels) + block.gaps))
    place = {level: index for index, level in enumerate(block.levels)}
    for row, value in enumerate(values):
        if value is None:
            continue
        for level in words(value) if block.kind == "words" else (value,):
            index = place.get(level)
            if index is not None:
                out[row, index] = 1.0
    if block.gaps:
        out[:, -1] = missing
    return out
