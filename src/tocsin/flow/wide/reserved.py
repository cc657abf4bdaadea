"""Memory that is reserved at once and filled over time: in huge pages, and not for children.

Random access over gigabytes is bound by the translation of addresses. A fork would undo that for good: the first write
to a huge page that is shared with a child splits it. And the fork itself takes as long as it has pages to tell of. So a
forked child does not get this memory at all, but for what it is ``lent``; what else it must see is put together again
afterwards (``gathered``).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HUGE = 2 << 20
_MADV_DONTFORK, _MADV_DOFORK, _MADV_COLLAPSE = 10, 11, 25


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


def private(size: int) -> np.ndarray:
    """Return int64 zeros [size] that a forked child must not touch; those of less than a huge page it may."""
    return np.zeros(size, np.int64) if 8 * size < HUGE else reserved([size], np.int64)


@contextmanager
def lent(arrays: Iterable[np.ndarray]) -> Iterator[None]:
    """Let a child that is forked inside the block see these parts of ``reserved`` memory; OSError where that fails."""
    if sys.platform != "linux":
        yield
        return
    page, madvise = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True).madvise
    spans = [
        (first // page * page, (first + size + page - 1) // page * page)
        for first, size in ((array.ctypes.data, array.nbytes) for array in arrays if array.nbytes)
    ]
    try:
        for first, last in spans:
            if madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DOFORK):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        yield
    finally:
        for first, last in spans:
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTFORK)


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
