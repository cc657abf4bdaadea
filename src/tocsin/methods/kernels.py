"""How loops are compiled: cached on disk, without the interpreter's lock, IEEE arithmetic unchanged.

Numba's cache looks at the file of a kernel alone, not at what it calls in others: an upgrade that changes only an inner
function would go on running the old one. So the cache lies in a folder named after the hash of all sources beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
COMPILED = importlib.util.find_spec("numba") is not None and not os.environ.get("TOCSIN_PLAIN")
"""Whether loops are compiled here; ``TOCSIN_PLAIN=1`` says no."""
_NAME = "kernels-"


@cache
def cache_folder(sources: Path) -> Path:
    """Return where the kernels of a folder of sources are kept: beside them, or in the user's cache."""
    files = (file.read_bytes() for file in sorted(sources.glob("*.py")))
    digest = hashlib.blake2b(b"\0".join(files), digest_size=8).hexdigest()
    given = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(given) if given else sources / "__pycache__"
    if not given and not os.access(sources if not base.exists() else base, os.W_OK):
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin" / sources.name
    return base / f"{_NAME}{digest}"


def sweep(sources: Path) -> int:
    """Remove the kernels of earlier sources; return how many folders went."""
    kept = cache_folder(sources)
    old = [folder for folder in kept.parent.glob(f"{_NAME}*") if folder != kept]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def compiled(function: F, sources: Path, **options: Any) -> F:
    """Return the compiled form of a function, kept with the kernels of ``sources``."""
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder(sources))
    try:
        njit: Any = numba.njit
        found: F = njit(**{"nogil": True, "error_model": "numpy", **options})(function)
    finally:
        config.CACHE_DIR = before
    return found


def brief(function: F) -> F:
    """Return the same of a function that takes microseconds: it keeps the interpreter's lock."""
    return compiled(function, Path(__file__).parent, cache=True, fastmath=False, nogil=False) if COMPILED else function


def kernel(function: F) -> F:
    """Return the compiled form of a function over arrays and numbers, or the function itself where numba is absent."""
    return compiled(function, Path(__file__).parent, cache=True, fastmath=False) if COMPILED else function
