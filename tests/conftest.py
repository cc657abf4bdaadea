"""For all tests: a property test has no deadline of its own, the machines that run it may be busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels before the workers begin: each would do it for itself, at the same time."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        return
    from tocsin.cli.warm import warm
    from tocsin.flow.wide.jit import AVAILABLE

    if AVAILABLE:
        warm()
