"""Every desk of the catalogue keeps the laws of a desk; the suite finds its subjects by itself."""

from __future__ import annotations

import pytest

from tocsin import testing
from tocsin.core.desk import Desk
from tocsin.desks.catalogue import catalogue

DESKS = catalogue()


@pytest.fixture(params=DESKS, ids=[desk.name for desk in DESKS])
def desk(request: pytest.FixtureRequest) -> Desk:
    return request.param


def test_names_are_unique_and_expressions_compile(desk: Desk) -> None:
    testing.check_declarations(desk)


def test_everything_that_people_read_is_bilingual(desk: Desk) -> None:
    testing.check_texts(desk)


def test_every_kind_has_a_playbook_with_good_places(desk: Desk) -> None:
    testing.check_playbooks(desk)


def test_a_desk_imports_core_and_methods_alone(desk: Desk) -> None:
    testing.check_imports(desk)


@pytest.mark.parametrize("seed", [1, 2])
def test_judge_says_the_same_of_a_row_permuted_split_and_padded(desk: Desk, seed: int) -> None:
    testing.check_judge(desk, testing.made_up_events(desk.reads, seed=seed))


def test_no_two_desks_share_a_name_or_a_kind() -> None:
    names = [desk.name for desk in DESKS]
    kinds = [kind for desk in DESKS for kind in desk.kinds]
    series = [series.name for desk in DESKS for series in desk.series]
    assert len(set(names)) == len(names) and len(set(kinds)) == len(kinds) and len(set(series)) == len(series)


def test_expectations_name_series_that_some_desk_declares() -> None:
    series = {series.name for desk in DESKS for series in desk.series}
    for desk in DESKS:
        for playbook in desk.playbooks():
            for step in playbook.steps:
                if step.expect is not None:
                    assert step.expect.series.partition("/")[0] in series, f"{playbook.name}: {step.expect.series}"
