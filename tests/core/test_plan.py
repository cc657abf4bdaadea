"""Playbooks and an incident become actions; a place that cannot be filled is named."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tocsin.core.action import Action, action_id
from tocsin.core.incident import Incident, Phase, Severity
from tocsin.core.plan import check_places, plan
from tocsin.core.playbook import Playbook, playbook_from, schema
from tocsin.core.signal import Text
from tocsin.errors import Misconfigured

INCIDENT = Incident(
    id="i1", shop="s", kind="request-flood", title=Text("Flood", "洪泛"), subject="ip:203.0.113.1",
    severity=Severity.P2, phase=Phase.OPEN, onset=0, opened=0, updated=0, kinds=("scan", "request-flood"),
    entities={"ip": ("203.0.113.1", "203.0.113.2", "203.0.113.3")}, evidence={"rate": 12, "deep": {"path": "/a"}},
)  # fmt: skip


def playbook(*steps: dict[str, Any], **more: Any) -> Playbook:
    return playbook_from(
        {"name": "p", "title": {"en": "P", "zh": "剧"}, "on": ["request-flood"], "steps": steps, **more}
    )


def planned(*steps: dict[str, Any], holds: bool = True, **more: Any) -> list[Action]:
    return list(plan(INCIDENT, [playbook(*steps, **more)], lambda text, incident: holds, now=7))


def test_a_step_without_target_is_done_to_every_entity_of_its_verb() -> None:
    actions = planned({"verb": "ip.block"})
    assert [action.target for action in actions] == ["ip:203.0.113.1", "ip:203.0.113.2", "ip:203.0.113.3"]
    assert actions[0].id == action_id("i1", "p", 1, "ip.block", "ip:203.0.113.1")
    assert {(action.ttl_s, action.created, action.shop) for action in actions} == {(900, 7, "s")}
    assert [action.target for action in planned({"verb": "shop.protect"})] == ["shop:s"]
    assert planned({"verb": "account.stepup"}) == []


def test_at_most_bounds_a_step_and_conditions_switch_it() -> None:
    assert len(planned({"verb": "ip.block", "at_most": 2})) == 2
    assert planned({"verb": "ip.block", "when": "false"}, holds=False) == []
    assert planned({"verb": "ip.block"}, when="false", holds=False) == []
    assert len(planned({"verb": "notify"}, holds=False)) == 1


def test_a_playbook_answers_the_kind_of_every_signal_that_joined() -> None:
    assert len(planned({"verb": "notify"}, on=["scan"])) == 1
    assert planned({"verb": "notify"}, on=["injection"]) == []


def test_places_are_filled_from_the_incident_and_keep_their_type_when_alone() -> None:
    (action,) = planned(
        {
            "verb": "ip.block",
            "target": "${incident.subject}",
            "args": {
                "rate": "${incident.evidence.rate}",
                "note": "${target} of ${incident.entities.ip}",
            },
            "expect": {"series": "requests/${target}", "direction": "down", "within_s": 60},
        }
    )
    assert action.args == {"rate": 12, "note": "203.0.113.1 of 203.0.113.1, 203.0.113.2, 203.0.113.3"}
    assert action.expect is not None and action.expect.series == "requests/203.0.113.1"
    (told,) = planned(
        {"verb": "notify", "args": {"path": "${incident.evidence.deep.path}", "title": "${incident.title}"}}
    )
    assert told.args == {"path": "/a", "title": {"en": "Flood", "zh": "洪泛"}} and told.target == "shop:s"


def test_a_verb_is_not_done_to_a_subject_of_another_kind() -> None:
    assert planned({"verb": "gateway.failover", "target": "${incident.subject}"}) == []


@pytest.mark.parametrize("place", ["incident.nothing", "incident.entities.moon", "incident.evidence", "other", ""])
def test_a_bad_place_is_refused_with_playbook_and_step(place: str) -> None:
    step = {"verb": "notify", "args": {"text": "${" + place + "}"}}
    with pytest.raises(Misconfigured, match=r"playbook p, step 1: \$\{"):
        planned(step)
    with pytest.raises(Misconfigured, match="playbook p, step 1"):
        check_places(playbook(step))


def test_missing_evidence_is_refused_only_when_it_is_needed() -> None:
    step = {"verb": "notify", "args": {"text": "${incident.evidence.absent}"}}
    check_places(playbook(step))
    with pytest.raises(Misconfigured, match="absent"):
        planned(step)


def test_planning_a_grown_incident_again_gives_the_same_ids_and_more() -> None:
    first = {action.id for action in planned({"verb": "ip.block", "at_most": 2})}
    assert first < {action.id for action in planned({"verb": "ip.block"})}


def test_the_schema_takes_what_is_a_playbook_and_refuses_what_is_not() -> None:
    validator = Draft202012Validator(schema())
    good = {"name": "p", "title": {"en": "P", "zh": "剧"}, "on": ["scan"], "steps": [{"verb": "ip.block", "ttl_s": 60}]}
    assert validator.is_valid(good)
    for bad in ({"steps": [{"verb": "ip.blok"}]}, {"on": "scan"}, {"automation": "always"}, {"nonsense": 1}):
        assert not validator.is_valid({**good, **bad})
