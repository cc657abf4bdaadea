"""The state of a plane with its log apart is the state, from whatever row of the log on it is put together."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.flow.wide.test_windows import cuts_of, random_stream, stepped, wide

from tocsin.flow.wide import stored
from tocsin.flow.wide.logged import Beside, PlaneLog, joined


@pytest.mark.parametrize("seed", range(30))
def test_what_is_put_together_again_is_what_was_captured_whole(seed: int) -> None:
    """Rows, entries renumbered, maps: equal to the last byte; entries before the log's begin count for nothing."""
    random = Random(seed)
    windows = wide(log_events=random.choice([7, 40, 10_000]))
    stepped(windows, random_stream(random, 300), cuts_of(random))
    for plane, _ in windows.planes:
        log, beside = PlaneLog(plane), Beside(plane)
        begin, end = log.bounds()
        first = random.randrange(begin + 1)
        arrays = {f"p.{name}": _whole(array) for name, array in beside.arrays().items()}
        arrays["p.log"] = np.concatenate(log.rows(first, end) or [])
        arrays["p.log.first"] = np.array([first])
        found = joined(arrays)
        captured = stored.capture(plane)
        assert (beside.tau, beside.forced) == (captured.tau, captured.forced)
        for name, array in captured.arrays().items():
            np.testing.assert_array_equal(found[f"p.{name}"], array, err_msg=name)


def test_rows_of_a_segment_that_has_gone_are_told() -> None:
    """Nobody takes other rows for them."""
    windows = wide()
    stepped(windows, random_stream(Random(1), 50))
    plane = windows.planes[0][0]
    log = PlaneLog(plane)
    end = log.bounds()[1]
    assert log.rows(0, end) is not None
    plane.segments.clear()
    assert log.rows(0, end) is None


def _whole(array: object) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.concatenate(list(array))  # type: ignore[call-overload]
