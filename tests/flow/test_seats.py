"""What a desk says is made plain, or the desk is at fault."""

from __future__ import annotations

import numpy as np
import pytest

from tocsin.core.signal import Signal
from tocsin.flow.seats import plain


def signal(**evidence: object) -> Signal:
    return Signal(
        id="s", desk="d", kind="k", shop="default", subject="ip:192.0.2.1", score=0.5, onset=1, tau=2, evidence=evidence
    )


def test_numbers_of_arrays_become_plain_numbers() -> None:
    made = plain(signal(rate=np.float64(1.5), n=np.int64(3), names=["a"], deep={"flag": np.bool_(True)}))
    assert made.evidence == {"rate": 1.5, "n": 3, "names": ["a"], "deep": {"flag": True}}
    assert [type(made.evidence[name]) for name in ("rate", "n")] == [float, int]


def test_a_plain_signal_is_returned_as_it_is() -> None:
    given = signal(rate=1.5)
    assert plain(given) is given


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON value"):
        plain(signal(thing=object()))
