"""The collector looks at little at a time, and not at what was alive when it was told to be calm."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from tocsin.runtime.collector import ELDER, YOUNG, calm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def calmed() -> Iterator[None]:
    """A calm collector, as it was afterwards."""
    before = gc.get_threshold()
    calm()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("calmed")
def test_no_look_at_the_youngest_covers_more_than_was_made_since_the_one_before() -> None:
    """However much is kept: 60,000 lists are looked at by the thousand, and the elder ones a bounded number at once."""
    sizes: dict[int, list[int]] = {0: [], 1: []}

    def look(phase: str, info: dict[str, Any]) -> None:
        if phase == "start" and info["generation"] < 2:
            sizes[info["generation"]].append(sum(len(gc.get_objects(one)) for one in range(info["generation"] + 1)))

    gc.callbacks.append(look)
    try:
        kept: list[list[int]] = [[number] for number in range(60_000)]
    finally:
        gc.callbacks.remove(look)
    assert len(kept) == 60_000
    assert len(sizes[0]) >= 60_000 // YOUNG - ELDER
    assert max(sizes[0]) <= YOUNG + 100
    assert max(sizes[1]) <= (ELDER + 2) * (YOUNG + 100)


@pytest.mark.usefixtures("calmed")
def test_what_was_alive_is_not_looked_at_and_what_goes_round_is_let_go() -> None:
    """Objects that name each other are collected as before."""
    assert gc.get_freeze_count() > 10_000
    around: list[Any] = []
    around.append(around)
    del around
    assert gc.collect(0) >= 1
