"""The garbage collector of a process that serves: it need not look at what lives as long as the process."""

from __future__ import annotations

import gc

YOUNG = 2_000
"""Objects made, and not gone by themselves, before the youngest are looked at. Every thread waits for a look, about
0.5 us an object: a bound of 50,000 makes callers wait 30 ms about once a second, this one 1 ms. What is looked at in
all is the same."""
ELDER = 10
"""So many looks at the youngest are followed by one at all that survived them: 20,000 objects at most."""


def calm() -> None:
    """Keep the collector from everything that is alive now, and let it look at the rest a little at a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, ELDER, 20)
