"""Small streams for the tests of desks: stamped events, second by second."""

from __future__ import annotations

from typing import Any

from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Signal
from tocsin.flow.fold import Fold

START = 1_700_000_000 * SECOND


class Stream:
    """Collects events in order of their seconds and folds them."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, dict[str, Any]]] = []

    def add(self, second: float, kind: str, **data: Any) -> None:
        self.rows.append((second, kind, data))

    def request(self, second: float, ip: str, path: str = "/", status: int = 200, **data: Any) -> None:
        self.add(second, "http.request", ip=ip, path=path, status=status, host="shop.example.com", **data)

    def login(self, second: float, ip: str, account: str, success: bool) -> None:
        self.add(second, "account.login", ip=ip, account=account, success=success)

    def events(self) -> list[Event]:
        found = []
        for number, (second, kind, data) in enumerate(sorted(self.rows, key=lambda row: row[0])):
            time = START + int(second * SECOND)
            found.append(Event(id=f"e{number}", source="t", type=kind, time=time, data=data, seq=number + 1, tau=time))
        return found

    def signals(self, desk: Any) -> list[Signal]:
        fold = Fold([desk])
        events = self.events()
        found = []
        for start in range(0, len(events), 500):
            folded = fold.step(events[start : start + 500])
            assert not folded.faults
            found += folded.signals
        return [*found, *fold.advance(events[-1].tau + 60 * SECOND).signals]
