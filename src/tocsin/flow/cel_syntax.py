"""The syntax of the CEL subset, text to tree: the grammar of the CEL specification without macros and messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tocsin.errors import Misconfigured

MAX_LENGTH = 8192
MAX_DEPTH = 48
MAX_TREE = 150
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1


class CelError(Misconfigured):
    """An expression that cannot be used; the message shows the place, ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, text: str, offset: int) -> None:
        before = text[:offset]
        self.line = before.count("\n") + 1
        self.column = offset - (before.rfind("\n") + 1) + 1
        self.reason = message
        shown = text.split("\n")[self.line - 1] if text else ""
        super().__init__(f"line {self.line}, column {self.column}: {message}\n  {shown}\n  {' ' * (self.column - 1)}^")


@dataclass(slots=True)
class Node:
    """One node: ``kind`` literal, ident, select, index, call, list, not, negate, binary, and, or, choose or has."""

    kind: str
    offset: int
    value: Any = None
    args: tuple[Node, ...] = ()
    type: str = ""
    """Filled by the checker."""


_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<double>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?))
    |(?P<int>0[xX][0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]\b)?
    |(?P<string>[rR]?(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL)
_PLAIN = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_RELATIONS = {"==", "!=", "<", "<=", ">", ">=", "in"}
_RESERVED = {
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
}  # fmt: skip
_LITERALS = {"true": (True, "bool"), "false": (False, "bool"), "null": (None, "null")}


class Parser:
    """A recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise CelError(f"the expression is longer than {MAX_LENGTH} characters", text, MAX_LENGTH)
        self.tokens = list(self._tokens())
        self.place = 0
        self.depth = 0

    def parse(self) -> Node:
        """Return the tree of the whole text."""
        if self.tokens[0][0] == "end":
            raise CelError("the expression is empty", self.text, 0)
        node = self._choice()
        kind, value, offset = self.tokens[self.place]
        if kind != "end":
            raise CelError(f"unexpected {value!r}", self.text, offset)
        self._bound(node)
        return node

    def _bound(self, root: Node) -> None:
        """Refuse a tree that is too deep to walk: a chain of operators nests without a bracket."""
        level = [root]
        for _ in range(MAX_TREE):
            level = [arg for node in level for arg in node.args]
            if not level:
                return
        raise CelError("too many operators in a row", self.text, level[0].offset)

    def _tokens(self) -> Any:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise CelError(f"unexpected character {self.text[at]!r}", self.text, at)
            if match["unsigned"]:
                raise CelError("unsigned numbers are not part of this language; drop the 'u'", self.text, at)
            kind = match.lastgroup or ""
            if kind != "space":
                yield kind, match[kind], at
            at = match.end()
        yield "end", "end of expression", len(self.text)

    def _take(self, *values: str) -> int | None:
        """Step over an operator or word if it is the next one, and return its offset."""
        kind, value, offset = self.tokens[self.place]
        if kind in ("op", "name") and value in values:
            self.place += 1
            return int(offset)
        return None

    def _expect(self, value: str) -> None:
        if self._take(value) is None:
            _, found, offset = self.tokens[self.place]
            raise CelError(f"expected {value!r} before {found!r}", self.text, offset)

    def _choice(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CelError("the expression is nested too deeply", self.text, self.tokens[self.place][2])
        node = self._chain("||", "or", lambda: self._chain("&&", "and", self._relation))
        offset = self._take("?")
        if offset is not None:
            then = self._chain("||", "or", lambda: self._chain("&&", "and", self._relation))
            self._expect(":")
            node = Node("choose", offset, None, (node, then, self._choice()))
        self.depth -= 1
        return node

    def _chain(self, op: str, kind: str, part: Any) -> Node:
        parts: list[Node] = [part()]
        first = None
        while (offset := self._take(op)) is not None:
            first = offset if first is None else first
            parts.append(part())
        return parts[0] if first is None else Node(kind, first, op, tuple(parts))

    def _relation(self) -> Node:
        node = self._sum()
        while True:
            value = self.tokens[self.place][1]
            if value not in _RELATIONS or (offset := self._take(value)) is None:
                return node
            node = Node("binary", offset, value, (node, self._sum()))

    def _sum(self) -> Node:
        node = self._product()
        while (offset := self._take("+", "-")) is not None:
            node = Node("binary", offset, self.text[offset], (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._unary()
        while (offset := self._take("*", "/", "%")) is not None:
            node = Node("binary", offset, self.text[offset], (node, self._unary()))
        return node

    def _unary(self) -> Node:
        sign = self.tokens[self.place][1]
        signs: list[int] = []
        if sign in ("!", "-"):
            while (offset := self._take(sign)) is not None:
                signs.append(offset)
        if signs and sign == "-" and self.tokens[self.place][0] in ("int", "double"):
            number = self._number(negative=True)
            number.offset = signs.pop()
            node = self._member(number)
        else:
            node = self._member(self._primary())
        for offset in reversed(signs):
            node = Node("not" if sign == "!" else "negate", offset, None, (node,))
        return node

    def _number(self, *, negative: bool = False) -> Node:
        kind, value, offset = self.tokens[self.place]
        self.place += 1
        if kind == "double":
            number = float(value)
            if number in (float("inf"), float("-inf")):
                raise CelError(f"{value} is out of range", self.text, offset)
            return Node("literal", offset, -number if negative else number, type="double")
        whole = int(value, 16 if value[:2] in ("0x", "0X") else 10)
        whole = -whole if negative else whole
        if not INT_MIN <= whole <= INT_MAX:
            raise CelError(f"{value} does not fit in 64 bits", self.text, offset)
        return Node("literal", offset, whole, type="int")

    def _primary(self) -> Node:
        kind, value, offset = self.tokens[self.place]
        if kind in ("int", "double"):
            return self._number()
        if self._take("(") is not None:
            node = self._choice()
            self._expect(")")
            return node
        if self._take("[") is not None:
            return Node("list", offset, None, self._arguments("]"))
        self.place += 1
        if kind == "string":
            return Node("literal", offset, self._string(value, offset), type="string")
        if kind != "name" or value == "in":
            raise CelError(f"expected a value before {value!r}", self.text, offset)
        if value in _LITERALS:
            literal, type_ = _LITERALS[value]
            return Node("literal", offset, literal, type=type_)
        if value in _RESERVED:
            raise CelError(f"{value!r} is a reserved word", self.text, offset)
        if self._take("(") is not None:
            args = self._arguments(")")
            if value != "has":
                return Node("call", offset, value, args)
            if len(args) != 1 or args[0].kind != "select":
                raise CelError("has() takes one field, as in has(data.card)", self.text, offset)
            return Node("has", offset, None, args)
        return Node("ident", offset, value)

    def _member(self, node: Node) -> Node:
        while True:
            if self._take(".") is not None:
                kind, name, at = self.tokens[self.place]
                if kind != "name":
                    raise CelError(f"expected a name before {name!r}", self.text, at)
                self.place += 1
                if self._take("(") is not None:
                    node = Node("call", at, name, (node, *self._arguments(")")))
                    node.type = "method"
                else:
                    node = Node("select", at, name, (node,))
            elif (offset := self._take("[")) is not None:
                node = Node("index", offset, None, (node, self._choice()))
                self._expect("]")
            else:
                return node

    def _arguments(self, end: str) -> tuple[Node, ...]:
        args: list[Node] = []
        while self._take(end) is None:
            if args:
                self._expect(",")
                if end == "]" and self._take(end) is not None:
                    break
            args.append(self._choice())
        return tuple(args)

    def _string(self, token: str, offset: int) -> str:
        if token[0] in "rR":
            return token[2:-1]

        def plain(match: re.Match[str]) -> str:
            for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
                if match[group]:
                    code = int(match[group], base)
                    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                        raise CelError(f"{match[0]} is no character", self.text, offset)
                    return chr(code)
            if match[5] not in _PLAIN:
                raise CelError(f"unknown escape {match[0]}", self.text, offset)
            return _PLAIN[match[5]]

        return _ESCAPE.sub(plain, token[1:-1])


def parse(text: str) -> Node:
    """Return the tree of an expression; CelError points at the first thing that cannot be read."""
    return Parser(text).parse()
