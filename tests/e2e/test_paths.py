"""The main paths of a person on call, driven in a browser against a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .conftest import payment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, StorageState

    from .conftest import House


def number(text: str) -> float:
    """Return the number in a figure of the console."""
    found = re.search(r"[\d,]+(?:\.\d+)?", text)
    assert found, text
    return float(found[0].replace(",", ""))


def test_the_first_password_opens_nothing_after_it_was_changed(
    house: House, browser: Browser, signed_in: StorageState
) -> None:
    page = browser.new_page(locale="zh-CN")
    page.goto(house.address)
    page.fill("input[name=password]", house.first_password)
    page.click("button[type=submit]")
    assert "用户名或密码错误" in page.locator("[role=alert]").inner_text()
    page.context.close()


def test_a_person_who_chose_no_language_keeps_the_browsers_one_after_signing_in(
    house: House, browser: Browser, signed_in: StorageState
) -> None:
    for locale, title in (("zh-CN", "总览"), ("en-GB", "Overview")):
        context = browser.new_context(locale=locale, storage_state={"cookies": signed_in["cookies"], "origins": []})
        page = context.new_page()
        page.goto(house.address)
        page.locator("[data-figure=verdicts]").wait_for()
        assert page.locator("main h1").inner_text() == title
        context.close()


def test_three_numbers_of_the_overview_are_those_of_the_api(house: House, open_page: Any) -> None:
    page = open_page("/").page
    overview = house.get("/v1/overview")
    shown = {name: page.locator(f"[data-figure={name}]") for name in ("open_incidents", "verdicts", "money_per_minute")}
    shown["verdicts"].wait_for()
    assert number(shown["open_incidents"].inner_text()) == overview["open_incidents"]["total"]
    assert number(shown["verdicts"].inner_text()) == sum(overview["verdicts"].values())
    money = shown["money_per_minute"].get_attribute("title") or ""
    assert round(number(money) * 100) in {
        round(house.get("/v1/overview")["money_per_minute"]),
        round(overview["money_per_minute"]),
    }


def test_an_action_is_approved_on_the_row_and_undone_beside_its_expiry(house: House, open_page: Any) -> None:
    page = open_page("/incidents").page
    page.wait_for_selector("[data-list=incidents] > li")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-list=actions] > li")
    step_up = page.locator("[data-list=actions] > li", has_text="step-up").first
    step_up.locator("[data-row]").focus()
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog")
    assert "Budget" in dialog.inner_text()
    assert "At stake" in dialog.inner_text()
    dialog.locator("[data-confirm]").click()
    step_up.locator("[role=timer]").wait_for()
    assert re.search(r"expires in (\d+:)?\d\d:\d\d", step_up.inner_text())
    incident = page.url.rsplit("/", 1)[1]
    done = [action for action in house.get(f"/v1/incidents/{incident}")["actions"] if action["state"] == "done"]
    assert [action["by"] for action in done] == ["admin"]
    step_up.locator("[data-row]").focus()
    page.keyboard.press("u")
    dialog.locator("[data-confirm]").click()
    house.until(f"/v1/incidents/{incident}", lambda view: "undone" in [action["state"] for action in view["actions"]])
    step_up.get_by_text("Undone").wait_for()


def test_a_denied_action_stays_in_its_place(house: House, open_page: Any) -> None:
    page = open_page("/incidents").page
    page.locator("[data-list=incidents] [data-row]").first.click()
    rows = page.locator("[data-list=actions] > li .verbphrase")
    rows.first.wait_for()
    before = rows.all_inner_texts()
    page.locator("[data-list=actions] [data-act=deny]").first.click()
    page.get_by_role("dialog").locator("[data-confirm]").click()
    page.locator("[data-list=actions]").get_by_text("Denied").first.wait_for()
    assert rows.all_inner_texts() == before


def test_who_was_slower_is_told_and_sees_what_is(house: House, open_page: Any) -> None:
    """A conflict reloads the row and says so; nothing is done twice."""
    waiting = house.get("/v1/actions", state="suggested")["items"][0]
    watched = open_page(f"/incidents/{waiting['incident']}")
    page = watched.page
    row = page.locator("[data-list=actions] > li", has=page.locator("[data-act=approve]")).first
    row.locator("[data-act=deny]").click()
    incident = house.get(f"/v1/incidents/{waiting['incident']}")
    for action in incident["actions"]:
        if action["state"] == "suggested":
            house.client.post(f"/v1/actions/{action['id']}/deny").raise_for_status()
    page.get_by_role("dialog").locator("[data-confirm]").click()
    page.get_by_text("Someone or something was faster").wait_for()
    page.locator("[data-act=approve]").first.wait_for(state="detached")
    assert all("409" in trouble for trouble in watched.troubles)
    watched.troubles.clear()


def test_new_rows_wait_until_they_are_called_for(house: House, open_page: Any) -> None:
    """Rows never move under the cursor: a new verdict only raises the count on the button."""
    page = open_page("/verdicts").page
    rows = page.locator("[data-list=verdicts] > li")
    rows.first.wait_for()
    before = [row.get_attribute("data-id") for row in rows.all()]
    key = house.client.post("/v1/keys", json={"name": "late", "scopes": ["verdicts"]}).json()["secret"]
    house.ask(payment(1, "late-device", "192.0.2.77", "succeeded", 0), key)
    page.locator("[data-fresh]").wait_for()
    assert [row.get_attribute("data-id") for row in rows.all()] == before
    page.keyboard.press("n")
    page.locator("[data-fresh]").wait_for(state="detached")
    assert rows.first.get_attribute("data-id") not in before


def test_an_incident_is_labelled_as_a_false_alarm(house: House, open_page: Any) -> None:
    items = house.get("/v1/incidents")["items"]
    incident = items[-1]["id"]
    page = open_page(f"/incidents/{incident}").page
    page.wait_for_selector(".incident-facts")
    page.keyboard.press("e")
    item = page.get_by_text("False alarm: dismiss it")
    item.hover()
    # The menu is beside its button and stays there: a person aims at what does not move.
    button = page.locator("main [data-act=label]").bounding_box()
    place = item.bounding_box()
    assert button and place
    assert 0 <= place["y"] - (button["y"] + button["height"]) < 80
    for _ in range(10):
        page.wait_for_timeout(20)
        assert item.bounding_box() == place
    item.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input").fill("A load test of ours")
    dialog.locator("[data-confirm]").click()
    view = house.until(f"/v1/incidents/{incident}", lambda view: view["incident"]["label"] == "false_alarm")
    assert view["incident"]["phase"] == "dismissed"
    page.locator(".incident-facts").get_by_text("Dismissed").wait_for()


def test_verdicts_are_searched_and_say_why(house: House, open_page: Any) -> None:
    wanted = next(one for one in house.get("/v1/verdicts", limit=200)["items"] if one["reasons"])
    page = open_page("/verdicts").page
    page.wait_for_selector("[data-list=verdicts] > li")
    page.keyboard.press("/")
    page.keyboard.type(wanted["event_id"])
    page.locator("[data-list=verdicts] > li").nth(1).wait_for(state="detached")
    assert wanted["event_id"] in page.url
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    drawer.get_by_text(wanted["reasons"][0]["text"]["en"]).first.wait_for()
    assert f"why={wanted['id']}" in page.url
    assert "Computed" in drawer.inner_text()


def test_a_dead_letter_is_mended_and_driven_again(house: House, open_page: Any) -> None:
    watched = open_page("/dead-letters")
    page = watched.page
    page.locator("[data-list=dead-letters] [data-row]").first.click()
    area = page.get_by_role("dialog").locator("textarea")
    area.wait_for()
    fixed = area.input_value()
    area.fill(fixed.replace('"12,99"', "12,"))
    assert "Line" in page.locator(".pointer").inner_text()
    assert page.locator("[data-act=retry]").is_disabled()
    area.fill(fixed.replace('"12,99"', "1299"))
    page.locator("[data-act=retry]").click()
    house.until("/v1/dead-letters", lambda found: len(found["items"]) == 1, state="accepted")
    page.get_by_text("Accepted: the event is in.").wait_for()


def test_the_kill_switch_asks_for_a_reason_and_shows_on_every_page(house: House, open_page: Any) -> None:
    page = open_page("/automation").page
    page.locator("[data-act=kill]").click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("[data-confirm]").is_disabled()
    dialog.locator("input").fill("Drill")
    dialog.locator("[data-confirm]").click()
    page.locator(".banner.stop").wait_for()
    assert house.get("/v1/automation")["kill"] is True
    page.locator(".banner.stop button").click()
    dialog.locator("input").fill("Drill over")
    dialog.locator("[data-confirm]").click()
    page.locator(".banner.stop").wait_for(state="detached")
    assert house.get("/v1/automation")["kill"] is False


def test_a_rule_is_checked_while_it_is_typed(open_page: Any) -> None:
    page = open_page("/rules").page
    page.locator("[data-list=rules] [data-row]").first.click()
    area = page.get_by_role("dialog").locator("textarea")
    area.fill("data.amount > > 5")
    page.locator(".pointer").wait_for()
    assert "column 15" in page.locator(".pointer").inner_text()
    area.fill("data.amount > 5")
    page.locator(".check.ok").wait_for()


def test_language_and_theme_switch_in_place_and_stay(open_page: Any) -> None:
    page = open_page("/incidents").page
    page.locator("[data-switch=language]").click()
    page.get_by_role("heading", name="事件单").wait_for()
    page.locator("[data-switch=theme]").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    page.get_by_role("heading", name="事件单").wait_for()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_a_lost_line_is_told_and_what_was_read_stays(open_page: Any) -> None:
    """Offline keeps the last data, marked stale, and the console comes back by itself."""
    watched = open_page("/")
    page = watched.page
    page.wait_for_selector(".live.live")
    page.locator("[data-figure=verdicts]").wait_for()
    page.context.set_offline(True)
    page.locator(".problem").first.wait_for()
    assert page.locator("[data-figure=verdicts]").is_visible()
    page.context.set_offline(False)
    page.locator(".problem").first.wait_for(state="detached")
    watched.troubles.clear()
