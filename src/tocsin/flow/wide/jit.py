"""How kernels are compiled: cached on disk, without the interpreter's lock, IEEE arithmetic unchanged."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
AVAILABLE = importlib.util.find_spec("numba") is not None and not os.environ.get("TOCSIN_PLAIN")
"""Whether kernels can be compiled here; ``TOCSIN_PLAIN=1`` says no."""


def kernel(function: F) -> F:
    """Return the compiled form of a function over arrays and integers; compiled at its first call, then cached."""
    import numba

    compile_: Any = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")
    compiled: F = compile_(function)
    return compiled


def inlined(function: F) -> F:
    """Return the compiled form of a small function that kernels call."""
    import numba

    compile_: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
    compiled: F = compile_(function)
    return compiled
