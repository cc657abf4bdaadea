"""Eight bytes at once, read from and written to a uint8 array at any offset, as one machine instruction.

Little-endian machines only (x86-64, arm64): the order of the bytes is part of every hash made from them.
"""

from __future__ import annotations

import sys
from typing import Any

from numba import types
from numba.extending import intrinsic

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("the compiled half needs a little-endian machine; set TOCSIN_PLAIN=1")


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Return the address of ``array[at]`` as a pointer to 64 bits."""
    struct = context.make_array(kind)(context, builder, array)
    byte = builder.gep(struct.data, [at])
    return builder.bitcast(byte, context.get_value_type(types.uint64).as_pointer())


def _load64(typing_context: Any, data: Any, at: Any) -> Any:
    """Return ``data[at : at + 8]``, uint8, as one uint64; the caller keeps within the array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], args[0], args[1]), align=1)

    return types.uint64(data, types.int64), codegen


def _store64(typing_context: Any, data: Any, at: Any, word: Any) -> Any:
    """Write one uint64 into ``data[at : at + 8]``, uint8; the caller keeps within the array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, signature.args[0], args[0], args[1]), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), codegen


load64: Any = intrinsic(_load64)
"""``load64(data, at)`` in a kernel: the eight bytes from ``at`` on as one uint64; the caller keeps within the array."""
store64: Any = intrinsic(_store64)
"""``store64(data, at, word)`` in a kernel: write eight bytes from ``at`` on; the caller keeps within the array."""
