"""What a benchmark is given and what it gives back."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import msgspec


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


class NoData(Exception):
    """The data that a benchmark needs is not there; the message says what to pass."""


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages."""
    return {"python": platform.python_version()} | {package: version(package) for package in packages}
