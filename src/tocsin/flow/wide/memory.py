"""Loads and stores at addresses, for kernels whose state lies in many chunks: no argument and no copy for each chunk.

An address is that of memory which a NumPy array owns; whoever passes it keeps the array alive and its size in mind.
Nothing here checks bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from tocsin.flow.wide.jit import inlined

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def emitted(function: Callable[..., Any]) -> Any:
    """Return what kernels call, compiled to the instructions that ``function`` emits."""
    return intrinsic(function)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@emitted
def load(typing: Any, address: Any) -> Any:
    """Return the int64 at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], ir.IntType(64)))

    return types.int64(types.int64), emit


@emitted
def load_half(typing: Any, address: Any) -> Any:
    """Return the int32 at an address as int64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sext(builder.load(_pointer(builder, args[0], ir.IntType(32)), align=4), ir.IntType(64))

    return types.int64(types.int64), emit


@emitted
def load_byte(typing: Any, address: Any) -> Any:
    """Return the uint8 at an address as int64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(_pointer(builder, args[0], ir.IntType(8)), align=1), ir.IntType(64))

    return types.int64(types.int64), emit


@emitted
def store(typing: Any, address: Any, value: Any) -> Any:
    """Put an int64 at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], _pointer(builder, args[0], ir.IntType(64)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@emitted
def store_half(typing: Any, address: Any, value: Any) -> Any:
    """Put the lower half of an int64 at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = builder.trunc(args[1], ir.IntType(32))
        builder.store(half, _pointer(builder, args[0], ir.IntType(32)), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@emitted
def store_byte(typing: Any, address: Any, value: Any) -> Any:
    """Put the lowest byte of an int64 at an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = builder.trunc(args[1], ir.IntType(8))
        builder.store(byte, _pointer(builder, args[0], ir.IntType(8)), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@emitted
def as_float(typing: Any, value: Any) -> Any:
    """Return the float64 whose bits an int64 holds."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), emit


@emitted
def as_bits(typing: Any, value: Any) -> Any:
    """Return the bits of a float64 as int64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), emit


@emitted
def high_product(typing: Any, left: Any, right: Any) -> Any:
    """Return the upper 64 bits of the product of two int64 read as unsigned."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.int64(types.int64, types.int64), emit


@emitted
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line of an address ahead of its use; any address is allowed."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        )
        builder.call(function, [builder.inttoptr(args[0], byte), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(types.int64), emit


@inlined
def get(line: Any, field: Any) -> Any:
    """Return a field of a line of parameters."""
    return load(line + 8 * field)


@inlined
def put(line: Any, field: Any, value: Any) -> None:
    """Set a field of a line of parameters."""
    store(line + 8 * field, value)


def address_of(array: np.ndarray) -> int:
    """Return where an array's memory begins."""
    return int(array.ctypes.data)
