"""How the methods compile their loops: cached on disk, without the interpreter's lock, IEEE arithmetic unchanged."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
COMPILED = importlib.util.find_spec("numba") is not None and not os.environ.get("TOCSIN_PLAIN")
"""Whether loops are compiled here; ``TOCSIN_PLAIN=1`` says no."""


def kernel(function: F) -> F:
    """Return the compiled form of a function over arrays and numbers, or the function itself where numba is absent."""
    if not COMPILED:
        return function
    import numba

    compile_: Any = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")
    compiled: F = compile_(function)
    return compiled
