"""Four float64 at once inside compiled loops; the compiler's own vectoriser does not reach these short rows.

Each takes flat float64 arrays and the numbers of rows of four in them; nothing is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

from tocsin.methods.kernels import COMPILED

LANES = 4


def _compiled() -> tuple[Any, Any]:
    """Return both as vector instructions."""
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import types
    from numba.extending import intrinsic

    four = ir.VectorType(ir.DoubleType(), LANES)
    index = types.int64

    def row_of(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
        """Return the address of a row of four."""
        data = context.make_array(kind)(context, builder, array).data
        place = builder.mul(row, ir.Constant(row.type, LANES))
        return builder.bitcast(builder.gep(data, [place]), four.as_pointer())

    def all_of(builder: Any, value: Any) -> Any:
        """Return a number four times."""
        one = builder.insert_element(ir.Constant(four, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(four, ir.Undefined), mask)

    def load(builder: Any, address: Any) -> Any:
        return builder.load(address, align=8)

    @intrinsic
    def fork(  # type: ignore[no-untyped-def]
        typing, product, total, node, left, table, at, own, other
    ):
        """Write product[left], product[left + 1] = product[node] * table[at], * table[at + 1].

        And total[left], total[left + 1] = own * product[left], other * product[left + 1].
        """
        signature = types.void(product, total, index, index, table, index, types.float64, types.float64)

        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kinds = signature.args
            above = load(builder, row_of(context, builder, kinds[0], given[0], given[2]))
            for side in (0, 1):
                step = ir.Constant(given[3].type, side)
                row, line = builder.add(given[3], step), builder.add(given[5], step)
                found = builder.fmul(above, load(builder, row_of(context, builder, kinds[4], given[4], line)))
                builder.store(found, row_of(context, builder, kinds[0], given[0], row), align=8)
                leaf = builder.fmul(found, all_of(builder, given[6 + side]))
                builder.store(leaf, row_of(context, builder, kinds[1], given[1], row), align=8)
            return context.get_dummy_value()

        return signature, code

    @intrinsic
    def join(  # type: ignore[no-untyped-def]
        typing, total, node, left, table, at, parts, into
    ):
        """Write total[node] = total[left] + total[left + 1].

        And parts[into] += total[left] * table[at] + total[left + 1] * table[at + 1].
        """
        signature = types.void(total, index, index, table, index, parts, index)

        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kinds = signature.args
            below, brought = [], []
            for side in (0, 1):
                step = ir.Constant(given[2].type, side)
                row, line = builder.add(given[2], step), builder.add(given[4], step)
                below.append(load(builder, row_of(context, builder, kinds[0], given[0], row)))
                factor = load(builder, row_of(context, builder, kinds[3], given[3], line))
                brought.append(builder.fmul(below[side], factor))
            address = row_of(context, builder, kinds[5], given[5], given[6])
            builder.store(builder.fadd(load(builder, address), builder.fadd(*brought)), address, align=8)
            builder.store(builder.fadd(*below), row_of(context, builder, kinds[0], given[0], given[1]), align=8)
            return context.get_dummy_value()

        return signature, code

    return fork, join


def _fork(
    product: np.ndarray,
    total: np.ndarray,
    node: int,
    left: int,
    table: np.ndarray,
    at: int,
    own: float,
    other: float,
) -> None:
    """Write product[left], product[left + 1] = product[node] * table[at], * table[at + 1].

    And total[left], total[left + 1] = own * product[left], other * product[left + 1].
    """
    product, total, table = product.reshape(-1, LANES), total.reshape(-1, LANES), table.reshape(-1, LANES)
    product[left] = product[node] * table[at]
    product[left + 1] = product[node] * table[at + 1]
    total[left] = own * product[left]
    total[left + 1] = other * product[left + 1]


def _join(total: np.ndarray, node: int, left: int, table: np.ndarray, at: int, parts: np.ndarray, into: int) -> None:
    """Write total[node] = total[left] + total[left + 1].

    And parts[into] += total[left] * table[at] + total[left + 1] * table[at + 1].
    """
    total, table, parts = total.reshape(-1, LANES), table.reshape(-1, LANES), parts.reshape(-1, LANES)
    parts[into] += total[left] * table[at] + total[left + 1] * table[at + 1]
    total[node] = total[left] + total[left + 1]


fork_down: Callable[..., None]
join_up: Callable[..., None]
fork_down, join_up = _compiled() if COMPILED else (_fork, _join)
