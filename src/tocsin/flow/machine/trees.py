"""Trees that the machine has no instructions for, computed as rules always were: over columns, or row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.flow.cel_columns import CODE
from tocsin.flow.cel_rows import NotColumns
from tocsin.flow.cel_rows import build as build_columns
from tocsin.flow.cel_scalar import build as build_scalar
from tocsin.flow.cel_values import CelFault
from tocsin.flow.machine import ops
from tocsin.flow.machine.assembly import bits
from tocsin.flow.machine.tables import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.flow.cel_scalar import Env
    from tocsin.flow.cel_views import View
    from tocsin.flow.machine.assembly import Foreign


class Tree:
    """A foreign tree, ready to be computed: over columns where it can, else row by row."""

    __slots__ = ("columns", "one", "type")

    def __init__(self, foreign: Foreign) -> None:
        self.type = foreign.type
        self.one = build_scalar(foreign.node)
        self.columns: Callable[[View], Any] | None = None
        if foreign.node.type == foreign.type:
            try:
                self.columns = build_columns(foreign.node)
            except NotColumns:
                self.columns = None

    def single(self, env: Env) -> tuple[int, int]:
        """Return (64 bits of the value, state) for one environment."""
        if self.type == "bool":
            return 0, state_of(self.one, env)
        try:
            return bits(self.one(env)), 0
        except CelFault as fault:
            return 0, ops.FAILED + CODE[fault.cause]
