"""Prefetching in kernels: ask for a cache line long before it is read; random access is what a batch costs."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WRITE = 1
_KEEP = 3
_DATA = 1


def _prefetch(typing_context: Any, array: Any, at: Any) -> Any:
    """Emit ``llvm.prefetch`` for the cache line of ``array[at]``, to be written and kept in every level."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(struct.data, [args[1]]), cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(function, [place, word(_WRITE), word(_KEEP), word(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


prefetch: Any = intrinsic(_prefetch)
"""``prefetch(array, at)`` in a kernel; ``at`` may lie outside the array, the hint is then without effect."""
