"""How advice is put: one sentence in both languages, with its numbers."""

from __future__ import annotations

from tocsin.core.signal import Text
from tocsin.server.measured import Advice, PlaneView, StageView, Weight


def say(code: str, weight: Weight, en: str, zh: str, **values: object) -> Advice:
    """Return an advice with the places of its texts filled."""
    return Advice(code=code, weight=weight, text=Text(en, zh).filled(values))


def stage(view: PlaneView, name: str) -> StageView | None:
    """Return a stage by its name, None where the plane has none of that name."""
    return next((stage for stage in view.stages if stage.name == name), None)


def percent(share: float) -> str:
    """Return a share in percent with three significant digits."""
    return f"{100 * share:.3g} %"


def number(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
