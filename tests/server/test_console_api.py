"""The console API: from a payment to an undone action, letters, limits, rules, lists, and the live line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.config import load
from tocsin.core.records import DeadLetter, Role
from tocsin.ledger.audit import verify_audit

from .conftest import PASSWORD, SIGNAL_AMOUNT, Browser, Site, eventually, serving

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import pytest

ONE = {"Content-Type": "application/cloudevents+json"}


def send(site: Site, event: dict[str, Any], path: str = "/v1/events") -> httpx.Response:
    with site.machine() as http:
        return http.post(path, content=json.dumps(event), headers=ONE)


def incident(site: Site, browser: Browser) -> dict[str, Any]:
    """Return a fresh incident about a card of its own."""
    event = site.payment(amount=SIGNAL_AMOUNT)
    send(site, event).raise_for_status()
    item = f"sku:{event['data']['sku']}"
    found: dict[str, Any] = eventually(
        lambda: next(
            (one for one in browser.get("/v1/incidents").json()["items"] if one["subject"] == item and one["signals"]),
            None,
        )
    )
    return found


def action_of(browser: Browser, id: str) -> dict[str, Any]:
    found: dict[str, Any] = eventually(
        lambda: next(iter(browser.get("/v1/actions", params={"incident": id}).json()["items"]), None)
    )
    return found


def in_state(browser: Browser, id: str, state: str) -> Any:
    def law() -> Any:
        items = browser.get("/v1/actions", params={"state": state, "limit": 500}).json()["items"]
        return next((one for one in items if one["id"] == id), None)

    return eventually(law)


def test_the_thread_from_a_payment_to_an_undone_action(site: Site) -> None:
    """Signal, incident, suggested action, a person's yes, done, a person's undo; each step is on the timeline."""
    browser = site.browser(Role.RESPONDER)
    found = incident(site, browser)
    assert (found["kind"], found["phase"], found["title"]["zh"][:4]) == ("odd-amount", "open", "异常金额")
    action = action_of(browser, found["id"])
    assert (action["verb"], action["state"]) == ("sku.pause", "suggested")
    assert browser.send("POST", f"/v1/actions/{action['id']}/approve").status_code == 200
    assert in_state(browser, action["id"], "done")["by"] == "responder"
    assert browser.send("POST", f"/v1/actions/{action['id']}/undo").status_code == 200
    in_state(browser, action["id"], "undone")
    again = browser.send("POST", f"/v1/actions/{action['id']}/undo")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    view = browser.get(f"/v1/incidents/{found['id']}").json()
    assert [one["what"] for one in view["outcomes"]] == ["done", "undone"]
    assert view["signals"][0]["kind"] == "odd-amount"
    assert {"ruling", "outcome"} <= {one["what"] for one in view["incident"]["timeline"]}
    assert view["rulings"][0]["answer"] == "ASK"


def test_a_false_alarm_is_dismissed(site: Site) -> None:
    """The label closes the incident and is on record; an unknown label is refused by name of the field."""
    browser = site.browser(Role.RESPONDER)
    found = incident(site, browser)
    wrong = browser.send("POST", f"/v1/incidents/{found['id']}/label", {"label": "maybe"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "label")
    told = browser.send("POST", f"/v1/incidents/{found['id']}/label", {"label": "false_alarm", "note": "a gift"}).json()
    assert (told["label"], told["phase"]) == ("false_alarm", "dismissed")
    back = browser.send("POST", f"/v1/incidents/{found['id']}/phase", {"phase": "monitoring"})
    assert back.status_code == 409
    assert browser.send("POST", "/v1/incidents/none/phase", {"phase": "open"}).status_code == 404


def test_lists_have_pages(site: Site) -> None:
    """A cursor leads through all of them once; a foreign one is refused."""
    browser = site.browser(Role.VIEWER)
    made = {incident(site, browser)["id"] for _ in range(3)}
    seen: list[str] = []
    after = ""
    while True:
        page = browser.get("/v1/incidents", params={"limit": 2, "after": after}).json()
        seen += [one["id"] for one in page["items"]]
        after = page["next"]
        if not after:
            break
    assert len(seen) == len(set(seen)) and made <= set(seen)
    foreign = browser.get("/v1/verdicts", params={"after": "abc"})
    assert (foreign.status_code, foreign.json()["field"]) == (400, "after")
    wrong = browser.get("/v1/incidents", params={"limit": "many"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "limit")


def test_verdicts_are_searched(site: Site) -> None:
    """By decision, type and words; the why is in the record."""
    browser = site.browser(Role.VIEWER)
    event = site.payment(amount=200_000)
    told = send(site, event, "/v1/verdicts").json()
    params = {"decision": "hold", "type": "payment.attempted", "q": event["id"]}
    found = eventually(lambda: browser.get("/v1/verdicts", params=params).json()["items"])
    assert found[0]["id"] == told["id"]
    assert found[0]["reasons"][0]["code"] == "large"
    assert not browser.get("/v1/verdicts", params={**params, "decision": "deny"}).json()["items"]


def test_the_overview_counts(site: Site) -> None:
    """The numbers of the first page are there, and defaults are written out."""
    browser = site.browser(Role.VIEWER)
    send(site, site.payment())
    site.tocsin.host.settle().result(20)
    # The rate is that of whole seconds: what came in this one counts from the next one on.
    time.sleep(1.1)
    seen = browser.get("/v1/overview").json()
    assert (seen["shop"], seen["currency"], seen["demo"]) == ("shop", "CNY", False)
    assert seen["automation"] == {"ceiling": "suggest", "kill": False, "verdict_mode": "live"}
    assert seen["rates"]["events_per_s"] > 0
    assert seen["open_incidents"].keys() == {"P1", "P2", "P3", "P4", "total"}
    assert seen["verdicts"].keys() == {"allow", "challenge", "hold", "deny"}
    assert seen["counters"]["accepted"] > 0


# Dead letters ---------------------------------------------------------------------------------------------------


def letter(site: Site, browser: Browser, event: dict[str, Any]) -> dict[str, Any]:
    assert send(site, event).status_code == 400
    found: dict[str, Any] = eventually(
        lambda: next(
            iter(browser.get("/v1/dead-letters", params={"state": "waiting", "q": event["id"]}).json()["items"]), None
        )
    )
    return found


def test_a_dead_letter_is_listed_mended_and_driven_again(site: Site) -> None:
    """The mended event is in the journal as if it had come right at first, pseudonyms and all."""
    browser = site.browser(Role.RESPONDER)
    event = site.payment(amount=12.99, account="alice", email="a@b.example")
    found = letter(site, browser, event)
    assert (found["code"], found["field"], found["event_type"]) == ("wrong-type", "data.amount", "payment.attempted")
    assert "alice" not in found["document"] and "a@b.example" not in found["document"]
    path = f"/v1/dead-letters/{found['id']}"
    still = browser.send("POST", f"{path}/retry", {})
    assert (still.status_code, still.json()["field"]) == (400, "data.amount")
    document = json.loads(found["document"])
    document["data"]["amount"] = 1299
    assert browser.send("POST", f"{path}/retry", {"document": document}).json()["state"] == "accepted"
    stored = next(one for one in site.tocsin.journal.read(0) if one.id == event["id"])
    assert stored.data["account"] == site.tocsin.vault.pseudonym("shop", "account", "alice")
    assert stored.sealed.keys() == {"email"}
    assert browser.send("POST", f"{path}/retry", {}).status_code == 409
    assert browser.get(path).json()["state"] == "accepted"


def test_a_dead_letter_is_discarded(site: Site) -> None:
    """Put aside, it no longer waits."""
    browser = site.browser(Role.RESPONDER)
    found = letter(site, browser, site.payment(ip="nowhere"))
    assert browser.send("POST", f"/v1/dead-letters/{found['id']}/discard").json()["state"] == "discarded"
    assert browser.send("POST", f"/v1/dead-letters/{found['id']}/discard").status_code == 409


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="qwzxjkv", min_size=15, max_size=25),
    st.sampled_from(["account", "email", "phone", "card", "device", "name", "address"]),
    st.sampled_from(["text", "list", "object", "long"]),
)
def test_no_answer_and_no_letter_echoes_a_hidden_value(site: Site, secret: str, field: str, shape: str) -> None:
    """Whatever is wrong, problem+json and dead letter hold no sealed or pseudonym value."""
    value: Any = {"text": secret, "list": [secret], "object": {"a": secret}, "long": secret * 100}[shape]
    event = site.payment(**{"amount": "wrong", field: value})
    answer = send(site, {**event, "subject": f"account:{secret}"})
    assert answer.status_code == 400
    assert secret not in answer.text
    table = site.tocsin.records.table(DeadLetter)
    found = eventually(lambda: table.find({"event_id": event["id"]}))
    assert secret not in str(found)


# Automation -----------------------------------------------------------------------------------------------------


def test_limits_are_set_by_admins_and_seen_by_all(site: Site) -> None:
    """A playbook's mode and a verb's budget are rows; who set them is on the trail."""
    admin, viewer = site.browser(Role.ADMIN), site.browser(Role.VIEWER)
    seen = admin.send("PUT", "/v1/automation/playbooks/pause", {"automation": "approve"}).json()
    assert next(one for one in seen["playbooks"] if one["name"] == "pause")["automation"] == "approve"
    seen = admin.send("PUT", "/v1/automation/verbs/sku.pause", {"number": 7, "per_s": 600}).json()
    verb = next(one for one in viewer.get("/v1/automation").json()["verbs"] if one["name"] == "sku.pause")
    assert (verb["limit"], verb["per_s"], verb["unit"]) == (7, 600, "skus")
    admin.send("PUT", "/v1/automation/verbs/sku.pause", {"number": 100, "per_s": 3600})
    assert admin.send("PUT", "/v1/automation/verbs/nonsense", {"number": 1, "per_s": 1}).status_code == 404
    assert admin.send("PUT", "/v1/automation/playbooks/nothing", {"automation": "auto"}).status_code == 404
    assert admin.send("PUT", "/v1/automation/verbs/notify", {"number": -1, "per_s": 1}).status_code == 422
    trail = admin.get("/v1/audit", params={"q": "sku.pause"}).json()["items"]
    assert trail[0]["what"] == "limit.set"
    protected = {"subject": "ip:198.51.100.1", "on": True}
    assert "ip:198.51.100.1" in admin.send("PUT", "/v1/automation/protected", protected).json()["protected"]
    assert admin.send("PUT", "/v1/automation/protected", {**protected, "on": False}).json()["protected"] == []


def test_the_kill_switch_stops_what_a_person_approves(site: Site) -> None:
    """Responders pull it, admins release it; while it is on even an approved action is denied."""
    responder, admin = site.browser(Role.RESPONDER), site.browser(Role.ADMIN)
    found = incident(site, responder)
    action = action_of(responder, found["id"])
    pulled = responder.send("POST", "/v1/automation/kill", {"on": True, "reason": "too much"}).json()
    try:
        assert (pulled["kill"], pulled["kill_reason"]) == (True, "too much")
        assert responder.get("/v1/overview").json()["automation"]["kill"] is True
        ruled = responder.send("POST", f"/v1/actions/{action['id']}/approve").json()
        assert ruled["state"] == "denied"
        refused = responder.send("POST", "/v1/automation/kill", {"on": False})
        assert (refused.status_code, refused.json()["code"]) == (403, "role")
    finally:
        assert admin.send("POST", "/v1/automation/kill", {"on": False}).json()["kill"] is False


def test_the_verdict_mode_changes_at_its_place_in_the_journal(site: Site) -> None:
    """In shadow the computed verdict is recorded and allow is served."""
    admin = site.browser(Role.ADMIN)
    assert admin.send("PUT", "/v1/automation/verdicts", {"mode": "shadow"}).json()["verdict_mode"] == "shadow"
    try:
        told = send(site, site.payment(amount=300_000), "/v1/verdicts").json()
        assert (told["decision"], told["computed"]) == ("allow", "hold")
    finally:
        admin.send("PUT", "/v1/automation/verdicts", {"mode": "live"})
    assert send(site, site.payment(amount=300_000), "/v1/verdicts").json()["decision"] == "hold"


# Rules, playbooks, lists ----------------------------------------------------------------------------------------


def test_an_expression_is_checked_with_its_column(site: Site) -> None:
    """The console can underline the place."""
    browser = site.browser(Role.VIEWER)
    assert browser.send("POST", "/v1/rules/check", {"when": "data.amount > 5"}).json() == {"ok": True, "error": None}
    wrong = browser.send("POST", "/v1/rules/check", {"when": "data.amount >"}).json()
    assert wrong["ok"] is False
    assert (wrong["error"]["line"], wrong["error"]["column"] > 1) == (1, True)


def test_a_stored_rule_takes_effect(site: Site) -> None:
    """It is checked before it is stored; live, it decides from its place in the journal on."""
    admin = site.browser(Role.ADMIN)
    rule = {
        "id": "no-one-cent",
        "when": "data.amount == 1",
        "decision": "deny",
        "code": "one-cent",
        "text": {"en": "One cent", "zh": "一分钱"},
        "on": ["payment.attempted"],
        "mode": "live",
    }
    broken = admin.send("PUT", "/v1/rules/no-one-cent", {**rule, "when": "data.amount =="})
    assert (broken.status_code, broken.json()["field"]) == (422, "when")
    assert "column" in broken.json()["detail"]
    assert admin.send("PUT", "/v1/rules/other", rule).status_code == 422
    stored = admin.send("PUT", "/v1/rules/no-one-cent", rule).json()
    assert (stored["stored"], stored["by"]) == (True, "admin")
    assert send(site, site.payment(amount=1), "/v1/verdicts").json()["decision"] == "deny"
    admin.send("PUT", "/v1/rules/no-one-cent", {**rule, "mode": "off"})
    assert send(site, site.payment(amount=1), "/v1/verdicts").json()["decision"] == "allow"
    ids = {one["rule"]["id"] for one in admin.get("/v1/rules").json()["items"]}
    assert {"till-large", "no-one-cent"} <= ids


def test_a_list_is_read_by_rules(site: Site) -> None:
    """A value put on a list counts at once, and no longer once it is off."""
    admin = site.browser(Role.ADMIN)
    rule = {
        "id": "listed",
        "when": "in_list('blocked', data.ip)",
        "decision": "deny",
        "code": "listed",
        "text": {"en": "Listed", "zh": "在名单中"},
        "on": ["payment.attempted"],
        "mode": "live",
    }
    assert admin.send("PUT", "/v1/rules/listed", rule).status_code == 200
    admin.send("PUT", "/v1/lists/blocked", {"value": "203.0.113.9", "note": "test"}).raise_for_status()
    assert send(site, site.payment(ip="203.0.113.9"), "/v1/verdicts").json()["decision"] == "deny"
    assert admin.get("/v1/lists", params={"name": "blocked"}).json()["items"][0]["by"] == "admin"
    assert admin.send("DELETE", "/v1/lists/blocked?value=203.0.113.9").json() == {"ok": True}
    assert send(site, site.payment(ip="203.0.113.9"), "/v1/verdicts").json()["decision"] == "allow"
    assert admin.send("DELETE", "/v1/lists/blocked?value=203.0.113.9").status_code == 404


def test_people_are_listed_and_protected_by_pseudonym(site: Site) -> None:
    """Who knows an account by the shop's own key may name it so; what is kept is what events hold."""
    admin = site.browser(Role.ADMIN)
    kept = site.tocsin.vault.pseudonym("shop", "account", "alice")
    entry = admin.send("PUT", "/v1/lists/vip", {"value": "alice", "entity": "account"}).json()
    assert entry["value"] == kept
    wish = {"subject": "account:alice", "clear": True}
    seen = admin.send("PUT", "/v1/automation/protected", {**wish, "on": True}).json()
    assert seen["protected"] == [f"account:{kept}"]
    assert admin.send("PUT", "/v1/automation/protected", {**wish, "on": False}).json()["protected"] == []


def test_a_playbook_is_checked_and_stored(site: Site) -> None:
    """Unknown verbs and broken conditions are refused; what is stored is what runs."""
    admin = site.browser(Role.ADMIN)
    body = admin.get("/v1/playbooks/pause").json()["playbook"]
    assert body["automation"] == "suggest"
    bad = {**body, "steps": [{**body["steps"][0], "verb": "nonsense"}]}
    assert admin.send("PUT", "/v1/playbooks/pause", bad).status_code == 422
    assert admin.send("PUT", "/v1/playbooks/pause", {**body, "when": "incident.score >"}).status_code == 422
    stored = admin.send("PUT", "/v1/playbooks/pause", {**body, "version": 2}).json()
    assert (stored["stored"], stored["playbook"]["version"]) == (True, 2)
    assert admin.get("/v1/playbooks/none").status_code == 404


# Live -----------------------------------------------------------------------------------------------------------


def test_the_live_line_says_what_changed(site: Site) -> None:
    """An incident opened after the line did is told on it."""
    browser = site.browser(Role.VIEWER)
    with browser.http.stream("GET", "/v1/live", timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        send(site, site.payment(amount=SIGNAL_AMOUNT)).raise_for_status()
        for line in lines:
            if line.startswith("data: ") and json.loads(line[6:])["topic"] == "incident":
                notice = json.loads(line[6:])
                break
    assert notice.keys() == {"topic", "id", "version"}
    assert browser.get(f"/v1/incidents/{notice['id']}").status_code == 200


def test_lines_that_are_left_are_forgotten(site: Site) -> None:
    """A closed browser leaves no listener behind."""
    with site.browser(Role.VIEWER).http.stream("GET", "/v1/live", timeout=10):
        eventually(lambda: site.web.api.state.mailboxes)
    send(site, site.payment(amount=200_000), "/v1/verdicts")
    eventually(lambda: not site.web.api.state.mailboxes)


def test_the_stream_says_that_it_is_alive_and_ends_with_the_session(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment keeps the line open; once the session has expired the line ends."""
    from tocsin.server.routes import live

    monkeypatch.setattr(live, "HEARTBEAT_S", 0.1)
    with site.browser(Role.VIEWER).http.stream("GET", "/v1/live", timeout=10) as stream:
        lines = stream.iter_lines()
        eventually(lambda: next(lines) == ": still here")
        site.clock.ahead += 13 * 3_600_000_000
        try:
            for _ in lines:
                pass
        finally:
            site.clock.ahead -= 13 * 3_600_000_000


def test_a_key_sees_its_own_shop_only(site: Site) -> None:
    """Of incidents, actions, verdicts and dead letters of another shop a key sees nothing, not even by id."""
    browser = site.browser(Role.RESPONDER)
    found = incident(site, browser)
    action = action_of(browser, found["id"])
    verdict = send(site, site.payment(amount=100_000), "/v1/verdicts").json()
    buried = letter(site, browser, site.payment(ip="nowhere"))
    token, _ = site.web.accounts.make_key("elsewhere", ["read", "act"], shop="other", who="test")
    with site.client(token) as http:
        for path in ("/v1/incidents", "/v1/actions", "/v1/verdicts", "/v1/dead-letters"):
            assert http.get(path).json()["items"] == []
        for path in (
            f"/v1/incidents/{found['id']}",
            f"/v1/verdicts/{verdict['id']}",
            f"/v1/dead-letters/{buried['id']}",
        ):
            assert http.get(path).status_code == 404
        assert http.post(f"/v1/actions/{action['id']}/approve").status_code == 404
        assert http.post(f"/v1/incidents/{found['id']}/label", json={"label": "confirmed"}).status_code == 404


def test_the_same_on_disk(tmp_path: Path) -> None:
    """With journal, records and keys in files: event, verdict, letter, action; and all of it after a restart."""
    values = {"shop": "shop", "data_dir": str(tmp_path), "verdict_mode": "live", "verdict_deadline_ms": 5000}
    with serving(load(values, {})) as one:
        admin = one.browser(Role.ADMIN)
        told = send(one, one.payment(amount=100_000), "/v1/verdicts").json()
        assert told["decision"] == "hold"
        buried = letter(one, admin, one.payment(amount=1.5, account="alice", email="a@b.example"))
        document = json.loads(buried["document"])
        document["data"]["amount"] = 150
        path = f"/v1/dead-letters/{buried['id']}/retry"
        assert admin.send("POST", path, {"document": document}).json()["state"] == "accepted"
        found = incident(one, admin)
        action = action_of(admin, found["id"])
        admin.send("POST", f"/v1/actions/{action['id']}/approve").raise_for_status()
        in_state(admin, action["id"], "done")
        assert verify_audit(one.tocsin.records) is None
        one.tocsin.host.settle().result(20)
    with serving(load(values, {})) as again:
        with again.client() as http:
            signed = http.post("/v1/session", json={"user": "admin", "password": PASSWORD})
            assert signed.json()["must_change"] is False
            assert http.get(f"/v1/verdicts/{told['id']}").json()["served"] == "hold"
            assert http.get(f"/v1/dead-letters/{buried['id']}").json()["state"] == "accepted"
            view = http.get(f"/v1/incidents/{found['id']}").json()
            assert [one["state"] for one in view["actions"]] == ["done"]
        replayed = again.tocsin.replayed
        assert replayed.events + replayed.after > 0
