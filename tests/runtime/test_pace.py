"""Work that can wait does while the stream is fast."""

from __future__ import annotations

from tocsin.runtime.pace import Busy


def test_busy_follows_the_rate_of_the_last_half_second() -> None:
    """Not before there is a rate, then as long as it is above the bound."""
    count, now = [0], [0.0]
    busy = Busy(lambda: count[0], 1000.0, lambda: now[0])
    assert not busy()
    for seconds, events, expected in ((0.1, 900, False), (0.5, 100, True), (0.2, 0, True), (0.4, 0, False)):
        now[0] += seconds
        count[0] += events
        assert busy() is expected
