"""The CEL subset on single values: a tree becomes one Python function.

An operator on a missing or failed value is an error; ``&&`` and ``||`` absorb errors: the outcome of an operand that
decides alone wins over an error of another (CEL specification, "Logical operators").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tocsin.flow.cel_values import (
    CALLS,
    ORDER,
    CelFault,
    arithmetic,
    bounded,
    contained,
    equal,
    fit,
    in_cidr,
    in_list,
    indexed,
    is_number,
    member,
    ordered,
)

if TYPE_CHECKING:
    from tocsin.flow.cel_syntax import Node
    from tocsin.flow.lists import Lists

Step = Callable[["Env"], Any]


class Env:
    """What one evaluation reads: the roots by name, the named lists, and the time that lists expire by."""

    __slots__ = ("lists", "roots", "tau")

    def __init__(self, roots: Mapping[str, Any], lists: Lists | None = None, tau: int = 0) -> None:
        self.roots, self.lists, self.tau = roots, lists, tau


def build(node: Node) -> Step:
    """Return the function of a checked tree: an ``Env`` in, the value out, or CelFault."""
    return _BUILDERS[node.kind](node)


def _literal(node: Node) -> Step:
    value = node.value
    return lambda env: value


def _ident(node: Node) -> Step:
    name, type_ = node.value, node.type

    def step(env: Env) -> Any:
        value = fit(env.roots.get(name), type_)
        if value is None:
            raise CelFault("missing")
        return value

    return step


def _select(node: Node) -> Step:
    owner, name, type_ = node.args[0], node.value, node.type
    if owner.type != "map":
        inner = build(owner)
        return lambda env: member(inner(env), name)
    root = owner.value

    def step(env: Env) -> Any:
        holder = env.roots.get(root)
        value = None if holder is None else fit(holder.get(name), type_)
        if value is None:
            raise CelFault("missing")
        return value

    return step


def _has(node: Node) -> Step:
    field = node.args[0]
    if field.args[0].type == "map":
        inner = build(field)

        def step(env: Env) -> bool:
            try:
                inner(env)
            except CelFault:
                return False
            return True

        return step
    owner, name = build(field.args[0]), field.value

    def holds(env: Env) -> bool:
        value = owner(env)
        if not isinstance(value, Mapping):
            raise CelFault("overload")
        return name in value

    return holds


def _list(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    return lambda env: [part(env) for part in parts]


def _index(node: Node) -> Step:
    owner, place = (build(arg) for arg in node.args)
    return lambda env: indexed(owner(env), place(env))


def _truth(step: Step, env: Env) -> bool:
    value = step(env)
    if value.__class__ is not bool:
        raise CelFault("overload")
    return bool(value)


def _not(node: Node) -> Step:
    inner = build(node.args[0])
    return lambda env: not _truth(inner, env)


def _negate(node: Node) -> Step:
    inner = build(node.args[0])

    def step(env: Env) -> Any:
        value = inner(env)
        if not is_number(value):
            raise CelFault("overload")
        return bounded(-value) if value.__class__ is int else -value

    return step


def _logic(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    decides = node.kind == "or"

    def step(env: Env) -> bool:
        fault: CelFault | None = None
        for part in parts:
            try:
                if _truth(part, env) is decides:
                    return decides
            except CelFault as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not decides

    return step


def _choose(node: Node) -> Step:
    condition, then, other = (build(arg) for arg in node.args)
    return lambda env: then(env) if _truth(condition, env) else other(env)


def _binary(node: Node) -> Step:
    left, right = (build(arg) for arg in node.args)
    op = node.value
    if op == "==":
        return lambda env: equal(left(env), right(env))
    if op == "!=":
        return lambda env: not equal(left(env), right(env))
    if op == "in":
        return lambda env: contained(left(env), right(env))
    if op in ORDER:
        return lambda env: ordered(op, left(env), right(env))
    return lambda env: arithmetic(op, left(env), right(env))


def _call(node: Node) -> Step:
    parts = [build(arg) for arg in node.args]
    if node.value in ("in_list", "in_cidr"):
        listed = in_list if node.value == "in_list" else in_cidr
        return lambda env: listed(env.lists, env.tau, *(part(env) for part in parts))
    call = CALLS[node.value]
    return lambda env: call(*(part(env) for part in parts))


_BUILDERS: dict[str, Callable[[Node], Step]] = {
    "literal": _literal,
    "ident": _ident,
    "select": _select,
    "has": _has,
    "list": _list,
    "index": _index,
    "not": _not,
    "negate": _negate,
    "and": _logic,
    "or": _logic,
    "choose": _choose,
    "binary": _binary,
    "call": _call,
}
