"""The fraud model as an artefact: plain data with a checksum, never code.

Layout: the line ``tocsin.fraud.1``, the SHA-256 of what follows as hex and a line feed, then one MessagePack map,
deflated (zlib).
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from tocsin.desks.fraud.features import CODES, MADE, NAMES, code_of, windows_of
from tocsin.errors import Misconfigured
from tocsin.methods.calibration import Calibration
from tocsin.methods.costs import Costs
from tocsin.methods.linear import Linear
from tocsin.methods.trees import Trees

MAGIC = b"tocsin.fraud.1\n"
LARGEST = 256_000_000
"""No model is larger than this, inflated; a small file must not fill the memory."""


class FraudModel(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A learned model: which features it reads, linear or trees, calibration, costs and its card."""

    features: tuple[str, ...]
    """Names among ``features.NAMES``, in the model's order."""
    calibration: Calibration
    costs: Costs
    card: dict[str, Any]
    linear: Linear | None = None
    trees: Trees | None = None
    typical: tuple[float | None, ...] = ()
    """Of each feature that was never missing in training its median among harmless rows: it stands in where the value
    is missing now (a shop that sends no device, say), for the model has never seen that. None: it knows missing."""

    def __post_init__(self) -> None:
        """Refuse a model that does not fit this desk."""
        if (self.linear is None) == (self.trees is None):
            raise ValueError("a model is either linear or trees")
        unknown = sorted(set(self.features) - set(NAMES))
        if unknown:
            raise ValueError(f"the model reads features this version does not know: {', '.join(unknown)}")
        width = len(self.linear.weights) if self.linear is not None else self.core_trees.features
        if width != len(self.features):
            raise ValueError(f"the model has {width} inputs but names {len(self.features)} features")
        if self.typical and len(self.typical) != width:
            raise ValueError(f"the model has {width} inputs but {len(self.typical)} typical values")

    @property
    def core_trees(self) -> Trees:
        """The trees of a model that is not linear."""
        assert self.trees is not None
        return self.trees

    def columns(self, x: np.ndarray) -> np.ndarray:
        """Return the model's own columns of a full input [n, len(NAMES)], NaN where a value is missing."""
        return x[:, self.places]

    def filled(self, x: np.ndarray) -> np.ndarray:
        """Return the model's own columns with ``typical`` in place of values that were never missing in training."""
        own = self.columns(x)
        if not self.typical:
            return own
        return np.where(np.isnan(own), self._stand_ins, own)

    @cached_property
    def _stand_ins(self) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in self.typical], np.float64)

    @cached_property
    def windows(self) -> tuple[str, ...]:
        """The windows that the model reads, in the order of ``SERVED``."""
        return windows_of(self.features)

    @cached_property
    def derived(self) -> tuple[str, ...]:
        """The derived features that the model reads."""
        return tuple(name for name in self.features if name in MADE)

    @cached_property
    def places(self) -> np.ndarray:
        """The columns of ``features`` among ``NAMES``."""
        return np.array([NAMES.index(name) for name in self.features])

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Return raw scores [n] of a full input."""
        own = self.filled(x)
        return self.linear.raw(own) if self.linear is not None else self.core_trees.raw(own)

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Return [n, k + 1], the exact additive parts of the raw scores, the base last."""
        own = self.filled(x)
        return self.linear.contributions(own) if self.linear is not None else self.core_trees.contributions(own)

    @cached_property
    def groups(self) -> np.ndarray:
        """For each feature the number of its reason among ``features.CODES``."""
        return np.array([CODES.index(code_of(name)) for name in self.features])

    def pack(self) -> bytes:
        """Return the artefact."""
        body = zlib.compress(msgspec.msgpack.encode(self), 9)
        return MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(artefact: bytes) -> FraudModel:
    """Return the model of an artefact; Misconfigured where it is cut off, altered or made for another version."""
    if not artefact.startswith(MAGIC):
        raise Misconfigured(
            "fraud model: this is no artefact of the fraud desk; publish one made by `tocsin model train`"
        )
    head, _, body = artefact[len(MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != head:
        raise Misconfigured("fraud model: the checksum does not match; the artefact is damaged, publish it again")
    try:
        inflate = zlib.decompressobj()
        plain = inflate.decompress(body, LARGEST)
        if not inflate.eof:
            raise Misconfigured(f"fraud model: it is cut off or larger than {LARGEST} bytes")
        model = msgspec.msgpack.decode(plain, type=FraudModel)
        if model.trees is not None:
            # The first payment does not wait for tables, and a text without row counts is refused here.
            model.trees.ready()
        return model
    except (msgspec.DecodeError, ValueError, zlib.error) as error:
        raise Misconfigured(f"fraud model: {error}") from error
