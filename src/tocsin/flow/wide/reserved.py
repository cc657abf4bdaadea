"""Memory that is reserved at once and filled over time: in huge pages, and not for children.

Random access over gigabytes is bound by the translation of addresses. A fork would undo that for good: the first write
to a huge page that is shared with a child splits it. So a forked child does not get this memory at all.
"""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


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
