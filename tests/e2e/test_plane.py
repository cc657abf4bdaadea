"""The data plane's page: live numbers, rows that stay where they are, advice in plain words that comes and goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tocsin.telemetry import STAGES

if TYPE_CHECKING:
    from .conftest import House

ORDER = "rows => rows.map(row => row.dataset.id)"
PLACES = "heads => heads.map(head => Math.round(head.getBoundingClientRect().top + scrollY))"


def test_its_numbers_are_those_of_the_server_and_its_rows_stand_still(house: House, open_page: Any) -> None:
    """Every stage has its row, in the order of the way of an event, before and after new numbers came."""
    page = open_page("/plane").page
    rows = page.locator("[data-list=stages] [data-rowbox]")
    rows.first.wait_for()
    assert rows.evaluate_all(ORDER) == list(STAGES)
    heads = page.locator("main h2")
    places = heads.evaluate_all(PLACES)
    rules = page.locator("[data-list=rule-costs] [data-rowbox]").evaluate_all(ORDER)
    assert sorted(rules) == sorted(rule["id"] for rule in house.get("/v1/plane")["rules"]["items"])
    with page.expect_response(lambda answer: answer.url.endswith("/v1/plane")):
        pass
    page.wait_for_timeout(200)
    assert rows.evaluate_all(ORDER) == list(STAGES)
    assert page.locator("[data-list=rule-costs] [data-rowbox]").evaluate_all(ORDER) == rules
    assert page.locator(".sparkline polyline").count() == 2
    assert heads.evaluate_all(PLACES) == places


def test_advice_waits_behind_a_button_and_what_passed_is_marked(house: House, open_page: Any) -> None:
    """Nothing moves under the cursor: a second advice is counted first, then shown; one that is over says so."""
    told: list[str] = ["fault"]

    def answer(route: Any) -> None:
        view = house.get("/v1/plane")
        text = {"en": "It does not work.", "zh": "它无法工作。"}
        weight = {"fault": "warning"}
        view["advice"] = [{"code": code, "weight": weight.get(code, "alarm"), "text": text} for code in told]
        route.fulfill(status=200, content_type="application/json", body=json.dumps(view))

    page = open_page("/").page
    page.route("**/v1/plane", answer)
    page.keyboard.press("g")
    page.keyboard.press("s")
    shown = page.locator("[data-list=advice] > li")
    shown.first.wait_for()
    assert shown.count() == 1
    assert "It does not work." in shown.first.inner_text()
    told[:] = ["shed"]
    button = page.locator("[aria-labelledby=advice] [data-fresh]")
    button.wait_for()
    assert [shown.nth(n).get_attribute("data-code") for n in range(shown.count())] == ["fault"]
    assert "passed" in shown.first.inner_text()
    assert "alarm" in button.inner_text()
    button.click()
    assert [shown.nth(n).get_attribute("data-code") for n in range(shown.count())] == ["shed"]
    told.clear()
    button.wait_for()
    button.click()
    page.locator("[aria-labelledby=advice]", has_text="All is well").wait_for()
