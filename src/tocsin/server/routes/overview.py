"""Overview: the state of the house in one look, and the series behind the charts."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from tocsin.core.action import Action, ActionState
from tocsin.core.events import SECOND
from tocsin.core.incident import Incident, Phase, Severity
from tocsin.core.playbook import Automation
from tocsin.core.signal import Decision, Mode
from tocsin.server import shapes
from tocsin.server.replies import doc, house, person, reply

if TYPE_CHECKING:
    from tocsin.app import Tocsin

router = APIRouter(tags=["overview"])

MOST_POINTS = 2000
ACTIVE = [phase.value for phase in Phase if phase.active]
WAITING = [ActionState.ASKED.value, ActionState.SUGGESTED.value]


def series_view(tocsin: "Tocsin", name: str, key: str, *, start: int, end: int, shop: str = "") -> shapes.SeriesView:
    """Return the closed buckets of a series in [start, end), oldest first, the newest ``MOST_POINTS`` of them."""
    rows = tocsin.views.series(name, key, start, end, limit=MOST_POINTS, shop=shop)
    points = tuple((int(row["start"]), row["value"]) for row in rows)
    width = min((right[0] - left[0] for left, right in pairwise(points)), default=0)
    return shapes.SeriesView(name=name, key=key, points=points, bucket_s=width // 1_000_000)


@router.get("/v1/overview", **doc(shapes.Overview))
def overview(request: Request) -> Response:
    """Return rates, money, open incidents, verdicts, automation state and the main series."""
    tocsin = house(request)
    now = tocsin.clock.now()
    seen: dict[str, Any] = tocsin.views.overview(now)
    incidents = {
        level.value: tocsin.records.table(Incident).count({"phase": ACTIVE, "severity": level.value})
        for level in Severity
    }
    settings = tocsin.settings
    last = int(seen["last_event"])
    return reply(
        shapes.Overview(
            now=now,
            shop=settings.shop,
            currency=settings.currency,
            demo=tocsin.demo,
            automation=shapes.ModeView(
                ceiling=Automation(settings.automation),
                kill=tocsin.kill.on(),
                verdict_mode=Mode(tocsin.host.verdict_mode),
            ),
            rates=seen["rates"],
            money_per_minute=float(seen["money_per_minute"]),
            open_incidents={**incidents, "total": sum(incidents.values())},
            verdicts={decision: int(seen["verdicts"][decision.value]) for decision in Decision},
            waiting_actions=tocsin.records.table(Action).count({"state": WAITING}),
            lag_s=max(0.0, (now - last) / SECOND) if last and tocsin.host.queued else 0.0,
            last_event=last,
            queue=tocsin.host.queued,
            refusing=tocsin.host.refusing,
            faults={**tocsin.host.faults, **tocsin.responder.faults},
            series=tuple(
                shapes.SeriesView(
                    name=one["name"],
                    key=one["key"],
                    points=tuple((int(point[0]), point[1]) for point in one["points"]),
                    bucket_s=60,
                )
                for one in seen["series"]
            ),
            counters={
                **seen["counters"],
                **tocsin.host.counters,
                **{f"fold_{name}": n for name, n in tocsin.fold.counters.items()},
            },
        )
    )


@router.get("/v1/series", **doc(shapes.SeriesView))
def series(
    request: Request,
    name: Annotated[str, Query(min_length=1, description="name of the series")],
    key: Annotated[str, Query(description="its key, empty for the whole shop")] = "",
    start: Annotated[int, Query(ge=0, description="microseconds")] = 0,
    end: Annotated[int, Query(ge=0, description="microseconds, exclusive; 0: now")] = 0,
) -> Response:
    """Return the closed buckets of one series."""
    tocsin = house(request)
    return reply(series_view(tocsin, name, key, start=start, end=end or tocsin.clock.now(), shop=person(request).shop))
