"""For all tests: a property test has no deadline of its own, the machines that run it may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")
