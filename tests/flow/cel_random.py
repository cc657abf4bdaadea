"""Random typed expressions and rows with missing fields, for the oracle of the expression language."""

from __future__ import annotations

import random
from typing import Any

INTS = ("amount", "duration_ms", "quantity")
TEXTS = ("card", "ip", "country")
FEATURES = ("n1", "n2", "mean")
WORDS = ("", "a", "ab", "abc", "card-1", "10.0.0.7", "CN", "declined", "12", "-7", "2.5", "x")
PATTERNS = ("^a", "b$", "a.c", "[0-9]+", "^$", "card-[12]")
WHOLE = (0, 1, -1, 2, 3, 7, 10, 100, 9900, -(2**63) + 1, 2**63 - 1, 2**31, 4_000_000_000)
REAL = (0.0, 1.0, -1.0, 0.5, 2.5, 1e-3, 1e10, 1e300, -3.25)


class Maker:
    """Makes expressions of a wanted type; every choice comes from ``random.Random(seed)``."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def make(self, type_: str, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.15:
            return self.leaf(type_)
        return str(getattr(self, f"_{type_}")(depth - 1))

    def leaf(self, type_: str) -> str:
        pick = self.random.choice
        if type_ == "int":
            return pick([str(pick(WHOLE)), f"data.{pick(INTS)}"])
        if type_ == "double":
            return pick([repr(pick(REAL)), f"features.{pick(FEATURES)}", "score"])
        if type_ == "string":
            return pick([repr(pick(WORDS)), f"data.{pick(TEXTS)}"])
        return pick(
            ["true", "false", "data.success", f"has(data.{pick(INTS + TEXTS)})", f"has(features.{pick(FEATURES)})"]
        )

    def _choose(self, type_: str, depth: int) -> str:
        return f"({self.make('bool', depth)} ? {self.make(type_, depth)} : {self.make(type_, depth)})"

    def _int(self, depth: int) -> str:
        way = self.random.randrange(9)
        if way < 6:
            return f"({self.make('int', depth)} {self.random.choice('+-*/%')} {self.make('int', depth)})"
        if way == 6:
            return self._choose("int", depth)
        if way == 7:
            return f"int({self.make(self.random.choice(['double', 'string', 'int']), depth)})"
        return f"size({self.make('string', depth)})"

    def _double(self, depth: int) -> str:
        way = self.random.randrange(8)
        if way < 5:
            return f"({self.make('double', depth)} {self.random.choice('+-*/')} {self.make('double', depth)})"
        if way == 5:
            return self._choose("double", depth)
        if way == 6:
            return f"-({self.make('double', depth)})"
        return f"double({self.make(self.random.choice(['double', 'string', 'int']), depth)})"

    def _string(self, depth: int) -> str:
        way = self.random.randrange(4)
        if way == 0:
            return self._choose("string", depth)
        if way == 1:
            return f"string({self.make(self.random.choice(['double', 'int', 'string']), depth)})"
        return f"({self.make('string', depth)} + {self.make('string', depth)})"

    def _bool(self, depth: int) -> str:
        way = self.random.randrange(14)
        make, pick = self.make, self.random.choice
        if way < 3:
            return f"({make('bool', depth)} && {make('bool', depth)})"
        if way < 6:
            return f"({make('bool', depth)} || {make('bool', depth)})"
        if way == 6:
            return f"!{make('bool', 0)}" if self.random.random() < 0.5 else f"!({make('bool', depth)})"
        if way == 7:
            return self._choose("bool", depth)
        if way == 8:
            type_ = pick(["int", "double", "string"])
            parts = ", ".join(make(type_, min(depth, 1)) for _ in range(self.random.randrange(1, 4)))
            return f"({make(type_, depth)} in [{parts}])"
        if way == 9:
            method = pick(["startsWith", "endsWith", "contains"])
            return f"({make('string', depth)}).{method}({make('string', depth)})"
        if way == 10:
            return f"({make('string', depth)}).matches({pick(PATTERNS)!r})"
        left = pick(["int", "double", "string", "bool"])
        right = pick(["int", "double"]) if left in ("int", "double") else left
        return f"({make(left, depth)} {pick(['==', '!=', '<', '<=', '>', '>='])} {make(right, depth)})"

    def row(self) -> dict[str, Any]:
        """Return one environment: each field is missing in a quarter of the rows."""
        pick, there = self.random.choice, lambda: self.random.random() < 0.75
        data: dict[str, Any] = {name: pick(WHOLE) for name in INTS if there()}
        data.update({name: pick(WORDS) for name in TEXTS if there()})
        if there():
            data["success"] = self.random.random() < 0.5
        env: dict[str, Any] = {"data": data, "features": {name: pick(REAL) for name in FEATURES if there()}}
        if there():
            env["score"] = pick(REAL)
        return env
