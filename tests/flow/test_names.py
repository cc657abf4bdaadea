"""Codes of names: each name its own, for ever, whoever asks first."""

from __future__ import annotations

import sys
import threading

import pytest

from tocsin.core.vocabulary import INTERNAL, VOCABULARY
from tocsin.flow import names
from tocsin.flow.names import OTHER, Names


def test_the_vocabulary_has_codes_from_the_start() -> None:
    """They do not depend on what comes, so tables can be laid out once."""
    one, other = Names(), Names()
    assert one.types == other.types == ["(other)", *VOCABULARY, *INTERNAL]
    assert all(one.types[one.type(name)] == name for name in [*VOCABULARY, *INTERNAL])
    assert one.fields == other.fields and len(set(one.fields)) == len(one.fields)


def test_types_from_outside_are_bounded_and_declared_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a stranger is nobody; what a desk reads keeps a code of its own."""
    found = Names()
    monkeypatch.setattr(names, "MOST_TYPES", len(found.types) + 2)
    assert [found.type(name) for name in ("x.1", "x.2")] == [len(found.types) - 2, len(found.types) - 1]
    assert found.type("x.3") == OTHER
    declared = found.declare_type("x.3")
    assert declared != OTHER
    assert found.type("x.3") == declared


def test_among_grows_with_the_types() -> None:
    """A mask made before a type came is made anew."""
    found = Names()
    before = found.among(("order.placed",))
    code = found.type("x.new")
    after = found.among(("order.placed",))
    assert len(before) < len(after) and not after[code]
    assert after[found.type("order.placed")]
    assert found.among(("x.other",))[found.type("x.other")]


def test_threads_that_ask_at_once_agree_on_every_code() -> None:
    """Doors and host share the codes: two shops must never get the same one."""
    found, wanted = Names(), [f"n{at}" for at in range(400)]
    told: list[dict[str, tuple[int, int]]] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        told.append({name: (found.type(name), found.shop(name)) for name in wanted})

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert all(one == told[0] for one in told)
    assert all(found.types[code] == name and found.shops[shop] == name for name, (code, shop) in told[0].items())
    assert len(set(found.types)) == len(found.types) and len(found.shops) == len(wanted)
