"""Memory that is reserved at once and filled over time: in huge pages, and not for children.

Random access over gigabytes is bound by the translation of addresses. A fork would undo that for good: the first write
to a huge page that is shared with a child splits it. So a forked child does not get this memory at all; what it must
see is put together again afterwards (``gathered``).
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HUGE = 2 << 20
_MADV_COLLAPSE = 25


def reserved(shape: Sequence[int], kind: type[np.generic]) -> np.ndarray:
    """Return zeros; a forked child must not touch them. The system gives memory only as it is written."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        space.madvise(mmap.MADV_HUGEPAGE)
        space.madvise(mmap.MADV_DONTFORK)
    buffer: Any = space
    found: np.ndarray = np.frombuffer(buffer, kind)
    return found.reshape(tuple(shape))


def gathered(arrays: Iterable[np.ndarray]) -> int:
    """Put the memory of arrays, and what lies between them, into huge pages; return how many bytes that are.

    For a thread beside: the arrays may be used and changed meanwhile; who holds them here keeps them from going.
    Linux from 6.1 on, as far as it has free memory; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return 0
    madvise, found = ctypes.CDLL(None).madvise, 0
    blocks = {
        at
        for first, size in ((array.ctypes.data, array.nbytes) for array in arrays if array.nbytes)
        for at in range(first // HUGE * HUGE, first + size, HUGE)
    }
    for at in sorted(blocks):
        # Where a block is not mapped to its end it is refused, and stays as it is.
        if madvise(ctypes.c_void_p(at), ctypes.c_size_t(HUGE), _MADV_COLLAPSE) == 0:
            found += HUGE
    return found
