"""What a benchmark is given and what it gives back."""

from __future__ import annotations

import operator
import platform
import re
from importlib.metadata import version
from pathlib import Path

import msgspec

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``data``: the folder to fit on; ``score``: another folder of the same layout to score."""

    data: Path | None = None
    score: Path | None = None
    seed: int = 0


class Report(msgspec.Struct, kw_only=True):
    """One measurement: flat numbers of ours, the rivals' with the same keys, and how to repeat it."""

    name: str
    figures: dict[str, float]
    rivals: dict[str, dict[str, float]] = {}
    seed: int = 0
    versions: dict[str, str] = {}
    curves: dict[str, dict[str, float]] = {}
    """Name of a curve -> its points."""
    seconds: float = 0.0
    goals: dict[str, str] = {}
    """Key -> what it should be, as text for people (``>= 0.75``)."""
    notes: list[str] = []

    def judged(self, key: str) -> str:
        """Return a figure's goal and whether it was reached, as text; nothing where it has none."""
        goal = self.goals.get(key, "")
        found = re.match(r"(>=|<=|>|<|=)\s*([\d.]+)", goal)
        if not found:
            return goal
        reached = _COMPARE[found[1]](self.figures[key], float(found[2]))
        return f"{goal} ({'reached' if reached else 'missed'})"


def number(value: float) -> str:
    """Return a figure as people read it: four digits, or whole thousands."""
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


class NoData(Exception):
    """The data that a benchmark needs is not there; the message says what to pass."""


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages."""
    return {"python": platform.python_version()} | {package: version(package) for package in packages}
