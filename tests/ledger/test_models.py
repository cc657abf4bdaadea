"""The model store: bytes that cannot change unnoticed, and one live version a desk, by a named person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tocsin.core.desk import Candidate
from tocsin.errors import Conflict, Misconfigured, NotFound
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.models import ModelStore

if TYPE_CHECKING:
    from pathlib import Path


class Ticks:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", MemoryRecords(), now=Ticks())


def candidate(artefact: bytes, desk: str = "fraud") -> Candidate:
    return Candidate(desk=desk, artefact=artefact, card={"ap": 0.75})


def test_bytes_come_back_and_the_same_ones_are_the_same_version(store: ModelStore) -> None:
    version = store.put(candidate(b"trees"), by="alice")
    assert (version.stage, version.card, version.by) == ("candidate", {"ap": 0.75}, "alice")
    assert store.read(version.digest) == b"trees"
    assert store.put(candidate(b"trees")) == version
    assert store.put(candidate(b"trees", "attack")).digest == version.digest
    assert [one.desk for one in store.versions()] == ["attack", "fraud"]
    assert [one.desk for one in store.versions("fraud")] == ["fraud"]


def test_changed_or_missing_bytes_are_never_served(store: ModelStore, tmp_path: Path) -> None:
    digest = store.put(candidate(b"trees")).digest
    (tmp_path / "models" / digest).write_bytes(b"other")
    with pytest.raises(Misconfigured, match="was changed"):
        store.read(digest)
    for wrong in ("0" * 64, "../master.key", ""):
        with pytest.raises(NotFound):
            store.read(wrong)


def test_publishing_goes_through_shadow_and_retires_the_one_before(store: ModelStore) -> None:
    first, second = store.put(candidate(b"1")), store.put(candidate(b"2"))
    with pytest.raises(Conflict, match="shadow first"):
        store.stage(first.id, "live", by="alice")
    for version in (first, second):
        store.stage(version.id, "shadow", by="alice")
        store.stage(version.id, "live", by="alice")
    live = store.live("fraud")
    assert live is not None
    assert live.id == second.id
    assert {one.id: one.stage for one in store.versions()} == {first.id: "retired", second.id: "live"}


def test_rolling_back_brings_the_version_before_back(store: ModelStore) -> None:
    first, second = store.put(candidate(b"1")), store.put(candidate(b"2"))
    for version in (first, second):
        store.stage(version.id, "shadow", by="alice")
        store.stage(version.id, "live", by="alice")
    back = store.rollback("fraud", by="bob")
    assert back is not None
    assert (back.id, back.stage, back.by) == (first.id, "live", "bob")
    assert {one.id: one.stage for one in store.versions()} == {first.id: "live", second.id: "retired"}


def test_rolling_back_the_only_version_leaves_the_desk_without_one(store: ModelStore) -> None:
    only = store.put(candidate(b"1"))
    store.stage(only.id, "shadow", by="alice")
    store.stage(only.id, "live", by="alice")
    assert store.rollback("fraud", by="bob") is None
    assert store.live("fraud") is None


def test_an_unknown_stage_or_version_is_refused(store: ModelStore) -> None:
    version = store.put(candidate(b"1"))
    with pytest.raises(Conflict, match="no stage"):
        store.stage(version.id, "best", by="alice")
    with pytest.raises(NotFound):
        store.stage("nothing", "shadow", by="alice")
