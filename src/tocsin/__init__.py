"""Tocsin, the emergency desk of an online store.

One closed loop: collect -> assess -> respond -> monitor -> collect.

In a notebook, ``tocsin.assess(frame)`` takes a data frame through the loop in shadow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin.assessment.run import assess_frame as assess

__version__ = "0.1.0"
__all__ = ["__version__", "assess"]


def __getattr__(name: str) -> Any:
    """Load ``assess`` when it is first asked for: importing the package costs nothing."""
    if name == "assess":
        from tocsin.assessment.run import assess_frame

        return assess_frame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
