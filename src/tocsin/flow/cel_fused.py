"""Many expressions as one generated Python function over one event: fields are fetched once, errors raise nothing.

Every boolean sub-tree becomes three expressions: when it is true, when it is false, and, where it is neither, the cause
of its error. Static types say what can fail. The source is made of the checked tree alone: names of fields, literals,
lists and patterns are bound as constants, never spliced. What has no static type, or would grow too long, is called
through ``cel_scalar``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.flow import cel_scalar
from tocsin.flow.cel_parts import Kept, helpers, may_be_nan
from tocsin.flow.cel_pieces import Checks, Truth, Value, all_of, any_of, cause_of, first_cause, short
from tocsin.flow.cel_values import CALLS, ORDER

if TYPE_CHECKING:
    from tocsin.flow.cel_syntax import Node

SCALARS = ("int", "double", "string", "bool")
_INVERSE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


class Writer:
    """Writes the source of expressions; ``bound`` are its constants, ``fields`` what it reads (name -> root, field)."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = helpers()
        self.fields: dict[tuple[str, str, str], str] = {}
        self.used: set[str] = set()
        self._constants: dict[tuple[Any, ...], str] = {}
        self._temporaries = 0

    def constant(self, value: Any, *key: Any) -> str:
        """Bind a constant and return its name; equal keys share one."""
        key = key or (value.__class__, repr(value))
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = f"c{len(self._constants)}"
            self.bound[name] = value
        return name

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def truth(self, node: Node) -> Truth:
        """Return the three expressions of a boolean (or dynamic) tree."""
        made = getattr(self, f"_truth_{node.kind}", self._truth_value)(node)
        return made if made.fits() else self._truth_of(self._opaque(node), node.type)

    def _truth_and(self, node: Node) -> Truth:
        parts = [self.truth(arg) for arg in node.args]
        true, false = all_of([part.true for part in parts]), any_of([part.false for part in parts])
        return Truth(true, false, first_cause(parts))

    def _truth_or(self, node: Node) -> Truth:
        parts = [self.truth(arg) for arg in node.args]
        true, false = any_of([part.true for part in parts]), all_of([part.false for part in parts])
        return Truth(true, false, first_cause(parts))

    def _truth_not(self, node: Node) -> Truth:
        inner = self.truth(node.args[0])
        return Truth(inner.false, inner.true, inner.cause)

    def _truth_has(self, node: Node) -> Truth:
        if node.args[0].args[0].type != "map":
            return self._truth_of(self._opaque(node), "bool")
        there = all_of([check for check, _ in self.value(node.args[0]).checks])
        return Truth(there, "False" if there == "True" else f"(not {there})")

    def _truth_value(self, node: Node) -> Truth:
        return self._truth_of(self.value(node), node.type)

    def _truth_of(self, value: Value, type_: str) -> Truth:
        checks = value.checks
        if type_ == "dyn":
            checks = [*checks, (f"{value.text}.__class__ is bool", "'overload'")]
        holds = [check for check, _ in checks]
        return Truth(all_of([*holds, value.text]), all_of([*holds, value.opposite]), cause_of(checks) if checks else "")

    def value(self, node: Node) -> Value:
        """Return the value of a tree."""
        made: Value | None = None
        if node.type in (*SCALARS, "dyn", "null"):
            made = getattr(self, f"_{node.kind}", self._opaque)(node)
        if made is None or not all(short(part) for pair in made.checks for part in pair) or not short(made.text):
            return self._opaque(node)
        return made

    def _opaque(self, node: Node) -> Value:
        name, step = self._temporary(), self.constant(cel_scalar.build(node), "opaque", self._temporaries)
        self.used.add("env")
        return Value([(f"({name} := tried({step}, env)).__class__ is not Outcome", f"{name}.cause")], name)

    def _settled(self, text: str, checks: Checks) -> Value:
        """Return the value of an expression that comes to an ``Outcome`` where it fails."""
        name = self._temporary()
        return Value([*checks, (f"({name} := {text}).__class__ is not Outcome", f"{name}.cause")], name)

    def _named(self, value: Value) -> str:
        """Return a name for a value that is read more than once."""
        if value.text.isidentifier():
            return value.text
        name = self._temporary()
        value.checks.append((f"(({name} := {value.text}) is not None)", ""))
        value.text = name
        return name

    def _literal(self, node: Node) -> Value:
        return Value([], self.constant(node.value))

    def _field(self, root: str, name: str, type_: str) -> Value:
        local = self.fields.setdefault((root, name, type_), f"f{len(self.fields)}")
        return Value([] if root == "event" else [(f"{local} is not None", "'missing'")], local)

    def _ident(self, node: Node) -> Value:
        return self._field("score", "", "double") if node.value == "score" else self._opaque(node)

    def _select(self, node: Node) -> Value:
        if node.args[0].type != "map":
            return self._opaque(node)
        return self._field(node.args[0].value, node.value, node.type)

    def _and(self, node: Node) -> Value:
        truth = self.truth(node)
        if not truth.cause:
            return Value([], f"({truth.true})", f"({truth.false})")
        return self._settled(f"(True if {truth.true} else False if {truth.false} else failed[{truth.cause}])", [])

    _or = _not = _has = _and

    def _negate(self, node: Node) -> Value:
        inner = self.value(node.args[0])
        if node.type == "double":
            return Value(inner.checks, f"(-{inner.text})")
        if node.type != "int":
            return self._opaque(node)
        name = self._named(inner)
        return Value([*inner.checks, (f"{name} != INT_MIN", "'overflow'")], f"(-{name})")

    def _choose(self, node: Node) -> Value:
        if any(arg.type not in SCALARS for arg in node.args):
            return self._opaque(node)
        choice = self.truth(node.args[0])
        then, other = (self.value(arg) for arg in node.args[1:])
        if not choice.cause and not then.checks and not other.checks:
            return Value([], f"({then.text} if {choice.true} else {other.text})")
        sides = [
            f"({side.text} if {all_of([check for check, _ in side.checks])} else failed[{cause_of(side.checks)}])"
            if side.checks
            else side.text
            for side in (then, other)
        ]
        if not choice.cause:
            return self._settled(f"({sides[0]} if {choice.true} else {sides[1]})", [])
        return self._settled(
            f"({sides[0]} if {choice.true} else {sides[1]} if {choice.false} else failed[{choice.cause}])", []
        )

    def _binary(self, node: Node) -> Value:
        op, (one, other) = node.value, node.args
        if op == "in":
            return self._in(node)
        if "null" in (one.type, other.type):
            return self._null(node)
        if one.type not in SCALARS or other.type not in SCALARS:
            return self._opaque(node)
        left, right = self.value(one), self.value(other)
        if op in ORDER or op in ("==", "!="):
            return self._compared(op, (one, left), (other, right))
        checks = [*left.checks, *right.checks]
        if node.type == "int":
            return self._whole(op, left, right, other)
        if node.type == "double" and op == "/" and not (other.kind == "literal" and other.value):
            return Value(checks, f"divided({left.text}, {right.text})")
        return Value(checks, f"({left.text} {op} {right.text})")

    def _compared(self, op: str, one: tuple[Node, Value], other: tuple[Node, Value]) -> Value:
        (left_node, left), (right_node, right) = one, other
        if left_node.type != right_node.type:
            for node, value in (one, other):
                if node.type == "int":
                    literal = node.kind == "literal"
                    value.text = self.constant(float(node.value)) if literal else f"float({value.text})"
        nan: Checks = []
        if op in ORDER:
            for node, value in (one, other):
                if may_be_nan(node):
                    name = self._named(value)
                    nan.append((f"{name} == {name}", "'not-a-number'"))
        checks = [*left.checks, *right.checks, *nan]
        return Value(checks, f"({left.text} {op} {right.text})", f"({left.text} {_INVERSE[op]} {right.text})")

    def _whole(self, op: str, left: Value, right: Value, divisor: Node) -> Value:
        if op not in "/%":
            name = self._temporary()
            check = (f"INT_MIN <= ({name} := {left.text} {op} {right.text}) <= INT_MAX", "'overflow'")
            return Value([*left.checks, *right.checks, check], name)
        a, b = self._named(left), self._named(right)
        checks = [*left.checks, *right.checks]
        if divisor.kind != "literal" or divisor.value in (0, -1):
            checks += [(f"{b} != 0", "'division'"), (f"({b} != -1 or {a} != INT_MIN)", "'overflow'")]
        return Value(checks, f"{'quotient' if op == '/' else 'remainder'}({a}, {b})")

    def _null(self, node: Node) -> Value:
        sides = [arg for arg in node.args if arg.type != "null"]
        if any(side.type not in SCALARS for side in sides):
            return self._opaque(node)
        same = (len(sides) == 0) == (node.value == "==")
        return Value(self.value(sides[0]).checks if sides else [], str(same), str(not same))

    def _in(self, node: Node) -> Value:
        value, owner = node.args
        types = {part.type for part in owner.args}
        if value.type not in SCALARS or owner.kind != "list" or types != {value.type}:
            return self._opaque(node)
        inner = self.value(value)
        if all(part.kind == "literal" for part in owner.args):
            words = frozenset(part.value for part in owner.args)
            name = self.constant(words, value.type, *sorted(map(repr, words)))
            return Value(inner.checks, f"({inner.text} in {name})", f"({inner.text} not in {name})")
        name, parts = self._named(inner), [self.value(part) for part in owner.args]
        checks = [*inner.checks, *(check for part in parts for check in part.checks)]
        return Value(checks, f"({' or '.join(f'{name} == {part.text}' for part in parts)})")

    def _call(self, node: Node) -> Value:
        if any(arg.type not in SCALARS for arg in node.args):
            return self._opaque(node)
        parts = [self.value(arg) for arg in node.args]
        checks = [check for part in parts for check in part.checks]
        given, name = node.args[0].type, node.value
        first = parts[0].text
        if name in ("in_list", "in_cidr"):
            return self._listed(node, parts, checks)
        if name in ("startsWith", "endsWith"):
            return Value(checks, f"{first}.{name.lower()}({parts[1].text})")
        if name == "contains":
            return Value(checks, f"({parts[1].text} in {first})", f"({parts[1].text} not in {first})")
        if name == "matches":
            return self._matches(node, parts, checks)
        if name == "size":
            return Value(checks, f"len({first})")
        if name == given:
            return Value(checks, first)
        if name == "double" and given == "int":
            return Value(checks, f"float({first})")
        if name == "int" and given == "double":
            inner = self._named(parts[0])
            return Value([*parts[0].checks, (f"-EDGE < {inner} < EDGE", "'overflow'")], f"int({inner})")
        if name == "string":
            return Value(checks, f"to_text({first})")
        return self._settled(f"tried({self.constant(CALLS[name], name)}, {first})", checks)

    def _matches(self, node: Node, parts: list[Value], checks: Checks) -> Value:
        if node.args[1].kind != "literal":
            return self._settled(f"tried(matches, {parts[0].text}, {parts[1].text})", checks)
        pattern = node.args[1].value
        return self._settled(f"{self.constant(Kept(pattern), 'matches', pattern)}[{parts[0].text}]", checks)

    def _listed(self, node: Node, parts: list[Value], checks: Checks) -> Value:
        self.used.add(node.value)
        name, key = parts[0].text, parts[1].text
        if node.value == "in_list":
            key = f"str({key})" if node.args[1].type == "int" else key
            return Value(checks, f"holds({name}, {key}, tau)")
        place = self._temporary()
        checks = [*checks, (f"({place} := address_of({key})) is not None", "'conversion'")]
        return Value(checks, f"covers({name}, {place}, tau)")
