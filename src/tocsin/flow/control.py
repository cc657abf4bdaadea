"""Control: the internal events that change what the fold does, each at its place in the journal.

``tocsin.rules`` {rules: [...]}, ``tocsin.model`` {desk, digest, stage, artefact_b64?}, ``tocsin.list`` {name, value,
expires?, op?}, ``tocsin.mode`` {desk, mode}, ``tocsin.windows`` {windows: [...]} (the house's own), ``tocsin.warm``
{windows: [names]}; ``campaign.planned`` keeps the campaigns.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.campaign import Campaign
from tocsin.core.events import DAY, Event
from tocsin.core.signal import Mode
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.flow.lists import Lists
    from tocsin.flow.seats import Seat

CONTROL = ("tocsin.rules", "tocsin.model", "tocsin.list", "tocsin.mode", "tocsin.windows", "tocsin.warm")
CAMPAIGN = "campaign.planned"
CAMPAIGN_MEMORY = 8 * DAY


class Campaigns:
    """The planned campaigns by shop: the promotion clock of the series."""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, str], Campaign] = {}

    def plan(self, event: Event) -> None:
        """Take in a campaign.planned event; one with an end before its start takes the campaign back."""
        data = event.data
        name, start, end = str(data.get("campaign", "")), data.get("start"), data.get("end")
        if not isinstance(start, int) or not isinstance(end, int):
            return
        for key in [key for key, plan in self._planned.items() if plan.end < event.tau - CAMPAIGN_MEMORY]:
            del self._planned[key]
        self._planned[event.shop, name] = Campaign(
            id=name,
            shop=event.shop,
            name=str(data.get("title", name)),
            start=start,
            end=end,
            uplift=_factor(data, "uplift", 1.0),
            peak=_factor(data, "peak", _factor(data, "uplift", 1.0)),
            peak_minutes=int(_factor(data, "peak_minutes", 0)),
            skus=tuple(map(str, data.get("skus", ()))),
            coupons=tuple(map(str, data.get("coupons", ()))),
            budget_factor=_factor(data, "budget_factor", 1.0),
        )

    def at(self, shop: str, time: int) -> tuple[float, Campaign | None]:
        """Return the expected uplift at a time, and the campaign that it comes from: of several the highest."""
        running = [plan for plan in self._planned.values() if plan.shop == shop and plan.start <= time < plan.end]
        if not running:
            return 1.0, None
        best = max(running, key=lambda plan: (plan.factor(time), plan.id))
        return best.factor(time), best

    def state(self) -> list[Any]:
        """Return the planned campaigns as plain values."""
        return [msgspec.to_builtins(plan) for plan in self._planned.values()]

    def restore(self, documents: list[Any]) -> None:
        """Take up what ``state`` returned."""
        plans = [msgspec.convert(document, Campaign) for document in documents]
        self._planned = {(plan.shop, plan.id): plan for plan in plans}

    def canonical(self, tau: int) -> list[str]:
        """Return the campaigns that can still matter."""
        return sorted(repr(plan) for plan in self._planned.values() if plan.end >= tau - CAMPAIGN_MEMORY)


def _factor(data: Mapping[str, Any], name: str, default: float) -> float:
    value = data.get(name, default)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def change_list(data: Mapping[str, Any], lists: Lists) -> None:
    """Apply tocsin.list; Misconfigured where it cannot be read."""
    name, value, expires = data.get("name"), data.get("value"), data.get("expires", 0)
    if not isinstance(name, str) or not isinstance(value, str) or not isinstance(expires, int):
        raise Misconfigured("tocsin.list needs the texts 'name' and 'value', and 'expires' in microseconds")
    if data.get("op", "add") == "remove":
        lists.remove(name, value)
    else:
        lists.add(name, value, expires)


def change_mode(data: Mapping[str, Any], seats: Mapping[str, Seat]) -> None:
    """Apply tocsin.mode to a desk; changes of limits and switches, which name none, are not the fold's."""
    desk = data.get("desk")
    if desk is None:
        return
    if desk not in seats or data.get("mode") not in list(Mode):
        raise Misconfigured(f"tocsin.mode: desk {desk!r} or mode {data.get('mode')!r} is unknown")
    seats[desk].mode = Mode(data["mode"])


def model_of(data: Mapping[str, Any], load: Callable[[str], bytes] | None) -> bytes | None:
    """Return the artefact of tocsin.model: inside the event, or from the store by its digest."""
    inside = data.get("artefact_b64")
    if isinstance(inside, str):
        try:
            return base64.b64decode(inside, validate=True)
        except binascii.Error as error:
            raise Misconfigured(f"tocsin.model: artefact_b64 cannot be read: {error}") from error
    digest = str(data.get("digest", ""))
    if not digest or data.get("stage") in ("retired", "candidate"):
        return None
    if load is None:
        raise Misconfigured(f"tocsin.model: no store to load {digest} from")
    return load(digest)
