"""How kernels that allocate nothing are compiled: without the counting of references.

Where one compiled function hands arrays to another that is not merged into it, numba counts references up and down at
each call, atomically; over six arrays and a few calls that is most of the time of a short row. Such functions may make
no array, slice or list; they are called by each other and by ordinary kernels, never the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tocsin.flow.wide.jit import SOURCES
from tocsin.methods.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def bare(function: F) -> F:
    """Return the compiled form of a kernel, or of a function that bare kernels call; cached."""
    return compiled(function, SOURCES, cache=True, _nrt=False)
