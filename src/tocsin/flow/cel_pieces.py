"""Pieces of generated source: values with their checks, and truths: when true, when false, and why neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_CAUSE = "''"
LONGEST, DEEPEST = 4000, 60
"""Characters and brackets of a piece: what grows beyond them is called instead of written out."""

Checks = list[tuple[str, str]]
"""(expression that must be true, expression of the cause where it is not), in the order of evaluation."""


class Value:
    """An expression that has its value once its checks hold, and its opposite where it is a truth."""

    __slots__ = ("checks", "opposite", "text")

    def __init__(self, checks: Checks, text: str, opposite: str = "") -> None:
        self.checks, self.text, self.opposite = checks, text, opposite or f"not {text}"


class Truth:
    """When a boolean is true, when false, and the cause where it is neither ("" where it never fails)."""

    __slots__ = ("cause", "false", "true")

    def __init__(self, true: str, false: str, cause: str = "") -> None:
        self.true, self.false, self.cause = true, false, cause

    def fits(self) -> bool:
        """Return whether the source stays short and flat."""
        return all(short(text) for text in (self.true, self.false, self.cause))


def short(text: str) -> bool:
    """Return whether a piece may be written out."""
    if len(text) > LONGEST:
        return False
    if text.count("(") <= DEEPEST:
        return True
    depth = deepest = 0
    for character in text:
        if character == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif character == ")":
            depth -= 1
    return deepest <= DEEPEST


def all_of(parts: Sequence[str]) -> str:
    """Return the conjunction of expressions."""
    kept = list(dict.fromkeys(part for part in parts if part != "True"))
    if "False" in kept:
        return "False"
    return kept[0] if len(kept) == 1 else f"({' and '.join(kept)})" if kept else "True"


def any_of(parts: Sequence[str]) -> str:
    """Return the disjunction of expressions."""
    kept = list(dict.fromkeys(part for part in parts if part != "False"))
    if "True" in kept:
        return "True"
    return kept[0] if len(kept) == 1 else f"({' or '.join(kept)})" if kept else "False"


def cause_of(checks: Checks) -> str:
    """Return the cause of the first check that does not hold."""
    causes = list(dict.fromkeys(cause for _, cause in checks if cause))
    if len(causes) == 1 and causes[0][0] == "'":
        return causes[0]
    failing = [f"{cause or NO_CAUSE} if not ({check}) else " for check, cause in checks]
    return f"({''.join(failing)}'')"


def first_cause(parts: Sequence[Truth]) -> str:
    """Return the cause of the first operand that failed."""
    failing = [part for part in parts if part.cause]
    if not failing:
        return ""
    causes = {part.cause for part in failing}
    if len(causes) == 1 and failing[0].cause[0] == "'":
        return failing[0].cause
    steps = [f"{part.cause} if not {any_of([part.true, part.false])} else " for part in failing[:-1]]
    return f"({''.join(steps)}{failing[-1].cause})"
