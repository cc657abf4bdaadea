"""Reading memory by address in kernels: the columns of a batch lie wherever they were made, and are not copied."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


def _reader(returned: Any, read: Any) -> Any:
    def peek(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(builder.inttoptr(args[0], read.as_pointer()), align=1)

        return returned(types.int64), codegen

    return intrinsic(peek)


peek_whole: Any = _reader(types.int64, ir.IntType(64))
"""``peek_whole(address)`` in a kernel: eight bytes as int64."""
peek_byte: Any = _reader(types.uint8, ir.IntType(8))
"""``peek_byte(address)`` in a kernel: one byte as uint8."""
