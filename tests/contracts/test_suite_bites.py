"""The contract suite refuses desks and actuators that break a law; a suite that passes everything checks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest

from tocsin import testing
from tocsin.actuators.shadow import ShadowActuator
from tocsin.core.action import Action, Receipt
from tocsin.core.desk import Judgement
from tocsin.core.signal import Text
from tocsin.desks.attack import AttackDesk
from tocsin.desks.health import HealthDesk


def test_a_judge_that_looks_at_other_rows_is_refused() -> None:
    class Peeping(HealthDesk):
        def judge(self, batch: Any, features: Any) -> Judgement:
            return Judgement(scores=np.arange(batch.n) / max(batch.n, 1))

    with pytest.raises(AssertionError, match="a row says something else when permuted"):
        testing.check_judge(Peeping(), testing.made_up_events(Peeping.reads))


def test_an_identity_that_does_not_derive_is_refused() -> None:
    class Drifting(AttackDesk):
        def judge(self, batch: Any, features: Any) -> Judgement:
            said = super().judge(batch, features)
            return msgspec.structs.replace(
                said, signals=[(row, msgspec.structs.replace(one, id=f"{one.score:.6f}")) for row, one in said.signals]
            )

    with pytest.raises(AssertionError, match="no derived identity"):
        testing.check_judge(Drifting(), testing.made_up_events(Drifting.reads))


def test_a_kind_without_chinese_or_without_playbook_is_refused() -> None:
    class Silent(HealthDesk):
        kinds = {**HealthDesk.kinds, "new-kind": Text("New", "New")}

    with pytest.raises(AssertionError, match="the Chinese text is missing"):
        testing.check_texts(Silent())
    with pytest.raises(AssertionError, match="no playbook answers new-kind"):
        testing.check_playbooks(Silent())


def test_two_windows_of_one_name_are_refused() -> None:
    class Doubled(AttackDesk):
        windows = (*AttackDesk.windows, AttackDesk.windows[0])

    with pytest.raises(AssertionError, match="two windows have the same name"):
        testing.check_declarations(Doubled())


def test_an_actuator_that_does_it_twice_is_refused() -> None:
    class Eager(ShadowActuator):
        done = 0

        def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
            self.done += 1
            return super().do(action, sealed)

    eager = Eager()
    with pytest.raises(AssertionError, match="a second effect"):
        testing.check_actuator(eager, lambda: eager.done)


def test_a_source_that_changes_its_mind_is_refused() -> None:
    lines = iter(range(100))

    class Moody:
        def read(self) -> list[tuple[int, dict[str, Any]]]:
            return [(1, {"n": next(lines)})]

    with pytest.raises(AssertionError, match="in two ways"):
        testing.check_source(Moody)
