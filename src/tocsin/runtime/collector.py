"""The garbage collector of a process that serves: it need not look at what lives as long as the process."""

from __future__ import annotations

import gc

YOUNG = 50_000
"""Objects made before the youngest are looked at: a batch makes thousands that go by themselves."""


def calm() -> None:
    """Keep the collector from everything that is alive now, and let it look at the rest more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
