"""Bytes of JSON in vectors of 32: where a string ends, where a line ends, copies in one go.

All of these read and write up to 32 bytes past what they are asked for: buffers carry ``PAD`` zero bytes behind their
end, and what a copy leaves behind its length is overwritten by whatever comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from tocsin.flow.wide.jit import SOURCES, woven
from tocsin.flow.wide.words import load64
from tocsin.methods.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
U = np.uint64
LANES = 32
PAD = 64
LONGEST_HEAD = 32
_KEPT = np.array(
    [
        (1 << 8 * min(max(length - 8 * word, 0), 8)) - 1
        for length in range(LONGEST_HEAD + 1)
        for word in range(LONGEST_HEAD // 8)
    ],
    np.uint64,
)
"""Masks of the bytes that belong to a text, by its length and word: a branch on the length would be guessed wrong."""
_VECTOR = ir.VectorType(ir.IntType(8), LANES)


def operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an instruction for kernels from the function that emits it."""
    made: Callable[..., Any] = intrinsic(function)
    return made


def uncounted(function: F) -> F:
    """Return the compiled form of a kernel that makes no arrays."""
    # References to arrays are not counted: an atomic addition for each one handed on took most of the time.
    return compiled(function, SOURCES, cache=True, _nrt=False)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any, to: Any) -> Any:
    """Return the address of ``array[at]`` as a pointer to a type."""
    struct = context.make_array(kind)(context, builder, array)
    return builder.bitcast(builder.gep(struct.data, [at]), to.as_pointer())


def _vector(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    loaded = builder.load(_address(context, builder, kind, array, at, _VECTOR))
    loaded.align = 1
    return loaded


def _all(value: int) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _mask(builder: Any, flags: Any) -> Any:
    return builder.zext(builder.bitcast(flags, ir.IntType(LANES)), ir.IntType(64))


@operation
def byte(typing_context: Any, data: Any, at: Any) -> Any:
    """Return ``data[at]``, uint8, as int64; the caller keeps within the array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.load(_address(context, builder, signature.args[0], args[0], args[1], ir.IntType(8)))
        return builder.zext(one, ir.IntType(64))

    return types.int64(data, types.int64), codegen


@operation
def put_byte(typing_context: Any, data: Any, at: Any, value: Any) -> Any:
    """Write the low eight bits of an int64 to ``data[at]``, uint8; the caller keeps within the array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low = builder.trunc(args[2], ir.IntType(8))
        builder.store(low, _address(context, builder, signature.args[0], args[0], args[1], ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(data, types.int64, types.int64), codegen


@operation
def string_lanes(typing_context: Any, data: Any, at: Any) -> Any:
    """Return which of 32 bytes end a plain string (quote, backslash, control: bits 0-31) or are not ASCII (32-63)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _vector(context, builder, signature.args[0], args[0], args[1])
        ends = builder.or_(
            builder.icmp_unsigned("==", found, _all(0x22)),
            builder.or_(builder.icmp_unsigned("==", found, _all(0x5C)), builder.icmp_unsigned("<", found, _all(0x20))),
        )
        high = _mask(builder, builder.icmp_signed("<", found, _all(0)))
        return builder.or_(_mask(builder, ends), builder.shl(high, ir.Constant(ir.IntType(64), 32)))

    return types.uint64(data, types.int64), codegen


@operation
def newline_lanes(typing_context: Any, data: Any, at: Any) -> Any:
    """Return which of 32 bytes are line feeds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _vector(context, builder, signature.args[0], args[0], args[1])
        return _mask(builder, builder.icmp_unsigned("==", found, _all(0x0A)))

    return types.uint64(data, types.int64), codegen


@operation
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return the number of zero bits below the lowest one; the word is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


@operation
def copy_lanes(typing_context: Any, out: Any, at: Any, data: Any, start: Any) -> Any:
    """Copy 32 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _vector(context, builder, signature.args[2], args[2], args[3])
        stored = builder.store(found, _address(context, builder, signature.args[0], args[0], args[1], _VECTOR))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64), codegen


@operation
def float_bits(typing_context: Any, value: Any) -> Any:
    """Return the bits of a float64 as uint64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.uint64(types.float64), codegen


@woven
def copied(out: np.ndarray, at: Any, data: np.ndarray, start: Any, length: Any) -> Any:
    """Copy ``length`` bytes and return where they end in ``out``."""
    done = 0
    while done < length:
        copy_lanes(out, at + done, data, start + done)
        done += 32
    return at + length


@woven
def line_end(data: np.ndarray, at: Any, end: Any) -> Any:
    """Return where the line that goes on at ``at`` ends: its line feed, or ``end``."""
    while at < end:
        found = newline_lanes(data, at)
        if found != U(0):
            at += trailing_zeros(found)
            return at if at < end else end
        at += 32
    return end


@woven
def string_end(data: np.ndarray, at: Any) -> Any:
    """Return 2 * (place of the closing quote) + (1 with non-ASCII before it); -1 unless a plain string ends."""
    high = np.int64(0)
    while True:
        found = string_lanes(data, at)
        ends = found & U(0xFFFFFFFF)
        if ends != U(0):
            ahead = trailing_zeros(ends)
            if byte(data, at + ahead) != 0x22:
                return np.int64(-1)
            if ((found >> U(32)) & ((U(1) << U(ahead)) - U(1))) != U(0):
                high = np.int64(1)
            return 2 * (at + ahead) + high
        if (found >> U(32)) != U(0):
            high = np.int64(1)
        at += 32


@woven
def after_space(data: np.ndarray, at: Any) -> Any:
    """Return the first place that is no JSON white space."""
    while True:
        one = byte(data, at)
        if one > 0x20 or one not in (0x20, 0x09, 0x0D):
            return at
        at += 1


@woven
def head(data: np.ndarray, at: Any, length: Any, word: Any) -> Any:
    """Return word 0 to 3 of a text of ``length`` bytes that begins at ``at``; zeros stand behind its end."""
    return load64(data, at + 8 * word) & _KEPT[U(4) * U(min(length, LONGEST_HEAD)) + U(word)]


@woven
def same_bytes(data: np.ndarray, left: Any, right: Any, length: Any) -> Any:
    """Return whether two places hold the same bytes."""
    for at in range(length):
        if byte(data, left + at) != byte(data, right + at):
            return False
    return True
