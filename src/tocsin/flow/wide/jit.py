"""How kernels are compiled: cached on disk, without the interpreter's lock, IEEE arithmetic unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tocsin.methods.kernels import COMPILED, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
AVAILABLE = COMPILED
"""Whether kernels can be compiled here; ``TOCSIN_PLAIN=1`` says no."""
SOURCES = Path(__file__).parent


def kernel(function: F) -> F:
    """Return the compiled form of a function over arrays and integers; compiled at its first call, then cached."""
    return compiled(function, SOURCES, cache=True, fastmath=False)


def brief(function: F) -> F:
    """Return the compiled form of a kernel over few rows, which makes no array and keeps the interpreter's lock.

    It takes microseconds; who gives the lock up for these may wait for it hundreds of them.
    """
    return compiled(function, SOURCES, cache=True, fastmath=False, nogil=False, _nrt=False)


def inlined(function: F) -> F:
    """Return the compiled form of a small function that kernels call."""
    return compiled(function, SOURCES, cache=True)


def woven(function: F) -> F:
    """Return the compiled form of a function that is always part of the kernel that calls it, whatever its size."""
    return compiled(function, SOURCES, forceinline=True, _nrt=False)
