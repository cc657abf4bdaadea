"""Every page in both languages, both themes and both widths: nothing untranslated, clipped, broken or inaccessible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.server.test_advice import CASES

from tocsin.server.advice import advise

from .conftest import AXE, WIDTHS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .conftest import House

CLIPPED = """() => {
  const found = [];
  const skipped = 'svg, pre, textarea, .visually-hidden, .skip, [aria-hidden=true]';
  const { clientWidth: width, scrollWidth } = document.documentElement;
  if (scrollWidth > width) found.push(`the page is ${scrollWidth} wide`);
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest(skipped)) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    const cut = element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
    if (cut || box.right > width + 1 || box.left < -1) found.push(element.textContent.trim().slice(0, 80));
  }
  return found;
}"""
AXE_RUN = """() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
  .then(({ violations }) => violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map((node) => node.html.slice(0, 160)).slice(0, 4).join(' | ')}`))"""
LOOKS = [("en", "light", 1280), ("zh", "dark", 1280), ("en", "dark", 390), ("zh", "light", 390)]
OPENERS = {
    "verdicts": "[data-list=verdicts] [data-row]",
    "dead-letters": "[data-list=dead-letters] [data-row]",
    "rules": "[data-list=rules] [data-row]",
}


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
@pytest.mark.parametrize(
    "name", ["overview", "incidents", "incident", "verdicts", "dead-letters", "automation", "rules", "plane"]
)
def test_nothing_is_untranslated_clipped_or_inaccessible(
    house: House, open_page: Any, name: str, language: str, theme: str, width: int
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run make setup")
    path = {
        "overview": "/",
        "incident": f"/incidents/{house.get('/v1/incidents')['items'][0]['id']}",
        "dead-letters": "/dead-letters?state=accepted",
    }
    page = open_page(path.get(name, f"/{name}"), language=language, theme=theme, width=width).page
    page.wait_for_timeout(700)
    _look(page)
    if name in OPENERS and page.locator(OPENERS[name]).count():
        page.locator(OPENERS[name]).first.click()
        page.get_by_role("dialog").wait_for()
        page.wait_for_timeout(400)
        _look(page)


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
def test_every_advice_can_be_read(house: House, open_page: Any, language: str, theme: str, width: int) -> None:
    """All that the data plane may say at once, with its longest texts: nothing is clipped or untranslated."""
    said = [msgspec.to_builtins(one) for _, view, _, _ in CASES for one in advise(view)]
    view = {**house.get("/v1/plane"), "advice": said}
    page = open_page("/rules", language=language, theme=theme, width=width).page
    page.route("**/v1/plane", lambda route: route.fulfill(json=view))
    page.goto(f"{house.address}/plane")
    rows = page.locator("[data-list=advice] > li")
    rows.first.wait_for()
    assert rows.count() == len(said)
    page.wait_for_timeout(700)
    _look(page)


def _look(page: Any) -> None:
    assert "⟦" not in page.locator("body").inner_text()
    assert page.evaluate(CLIPPED) == []
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert page.evaluate(AXE_RUN) == []


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
def test_the_sign_in_is_complete_too(house: House, browser: Browser, language: str, theme: str, width: int) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run make setup")
    context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]})
    context.add_init_script(f"localStorage['tocsin.language'] = '{language}'; localStorage['tocsin.theme'] = '{theme}'")
    page = context.new_page()
    page.goto(house.address)
    page.locator("input[name=password]").wait_for()
    _look(page)
    context.close()
