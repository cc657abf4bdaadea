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
SPACE, LINE = 8 << 20, 8
"""Words of a space (64 MB, of which the system gives what is written) and of a cache line."""
_MADV_DONTFORK, _MADV_DOFORK, _MADV_POPULATE_WRITE, _MADV_COLLAPSE = 10, 11, 23, 25


def reserved(shape: Sequence[int], kind: type[np.generic], *, forked: bool = False) -> np.ndarray:
    """Return zeros; a forked child must not touch them unless ``forked``. The system gives memory as it is written."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        space.madvise(mmap.MADV_HUGEPAGE)
        if not forked:
            space.madvise(mmap.MADV_DONTFORK)
    buffer: Any = space
    found: np.ndarray = np.frombuffer(buffer, kind)
    return found.reshape(tuple(shape))


def zeros(shape: Sequence[int], *, forked: bool) -> np.ndarray:
    """Return int64 zeros, ``reserved`` from the size of a huge page on; a child sees smaller ones in any case."""
    small = 8 * int(np.prod(shape)) < HUGE
    return np.zeros(tuple(shape), np.int64) if small else reserved(shape, np.int64, forked=forked)


def populated(array: np.ndarray) -> None:
    """Have the system give the memory of zeros now, for a thread beside: it takes 0.1 ms a MB. Linux from 5.14 on."""
    if sys.platform == "linux":
        madvise, page = ctypes.CDLL(None).madvise, mmap.PAGESIZE
        first, last = -(-array.ctypes.data // page) * page, (array.ctypes.data + array.nbytes) // page * page
        # A little at a time: whoever asks the system for memory meanwhile waits for one piece of it.
        for at in range(first, last, HUGE):
            madvise(ctypes.c_void_p(at), ctypes.c_size_t(min(HUGE, last - at)), _MADV_POPULATE_WRITE)


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


def unshared(arrays: Iterable[np.ndarray]) -> None:
    """Give a forked child memory of its own for parts of ``reserved`` memory, where they are, whole pages of them.

    What its parent writes is copied as long as the child shares it, page by page and while the writer waits; this is
    over much sooner than what the child reads them for.
    """
    if sys.platform != "linux":
        return
    madvise, page, held = ctypes.CDLL(None).madvise, mmap.PAGESIZE, np.empty(HUGE, np.uint8)
    for array in arrays:
        raw, begin = array.reshape(-1).view(np.uint8), array.ctypes.data
        at, last = -(-begin // page) * page, (begin + array.nbytes) // page * page
        while at < last:
            size = min(last, (at // HUGE + 1) * HUGE) - at
            piece = raw[at - begin : at - begin + size]
            held[:size] = piece
            if madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), mmap.MADV_DONTNEED) == 0:
                piece[:] = held[:size]
            at += size


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


class Rooms:
    """Memory for arrays that live as long as their owner, side by side in huge pages; a forked child sees it."""

    def __init__(self) -> None:
        self._spaces: list[np.ndarray] = []
        self._used = SPACE

    def take(self, words: int) -> np.ndarray:
        """Return int64 zeros [words] at the begin of a cache line; ValueError for more than a space holds."""
        room = -(-words // LINE) * LINE
        if room > SPACE:
            raise ValueError(f"an array of {words} words is larger than a space")
        if self._used + room > SPACE:
            self._spaces.append(reserved([SPACE], np.int64, forked=True))
            self._used = 0
        self._used += room
        taken: np.ndarray = self._spaces[-1][self._used - room : self._used - room + words]
        return taken

    def used(self) -> list[np.ndarray]:
        """Return what has been taken, in as few parts as there are spaces."""
        return [*self._spaces[:-1], *(space[: self._used] for space in self._spaces[-1:])]
