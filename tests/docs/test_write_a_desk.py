"""The page that teaches how to write a desk keeps its word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tocsin.core.events import SECOND, Event
from tocsin.flow.fold import Fold

PAGE = Path(__file__).parents[2] / "docs" / "write-a-desk.md"
START = 1_700_000_000 * SECOND


@pytest.fixture(scope="module")
def desk() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    space: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), space)
    return space["RefundsDesk"]()


def test_the_desk_of_the_page_passes_the_contract_suite(desk: Any) -> None:
    from tocsin import testing

    testing.check_desk(desk)


def test_the_desk_of_the_page_finds_a_refund_spree(desk: Any) -> None:
    events = [
        Event(
            id=str(n), source="shop", type="refund.requested", seq=n + 1,
            time=START + n * SECOND, tau=START + n * SECOND, data={"order": f"o{n}", "account": "a1"},
        )
        for n in range(6)
    ]  # fmt: skip
    folded = Fold([desk]).step(events)
    assert [(signal.kind, signal.subject) for signal in folded.signals] == [("refund-spree", "account:a1")]
    assert len(folded.rows) == 6
