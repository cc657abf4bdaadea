"""A drill end to end: the store, a real server on loopback, one small desk, and the signed webhook back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tocsin.cli.rehearsal import opened
from tocsin.core.desk import Aggregate, Batch, Bucket, Candidate, Features, Judgement, Labelled, Miss, Window
from tocsin.core.playbook import Playbook, Step
from tocsin.core.signal import Signal, Text, signal_id
from tocsin.twin.drill import rehearse
from tocsin.twin.thresholds import Limits
from tocsin.twin.trouble import named

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_A_MINUTE = 15


class LoudAddresses:
    """Signals an address with more than 15 requests a minute; its playbook blocks it."""

    name = "loud"
    version = 1
    reads = ("http.request",)
    windows = (Window(name="asked", fold=Aggregate.COUNT, by="ip", span_s=60, of=("http.request",)),)
    series = ()
    deadlines = ()
    rules = ()
    kinds: ClassVar[dict[str, Text]] = {"request-flood": Text("Request flood", "请求洪泛")}

    def judge(self, batch: Batch, features: Features) -> Judgement:
        asked = features["asked"]
        signals = []
        for row in np.flatnonzero(asked.present & (asked.values > MOST_A_MINUTE)):
            event = batch.events[int(row)]
            subject = f"ip:{event.data['ip']}"
            signals.append(
                (
                    int(row),
                    Signal(
                        id=signal_id(self.name, "request-flood", event.shop, subject, event.tau),
                        desk=self.name,
                        kind="request-flood",
                        shop=event.shop,
                        subject=subject,
                        score=0.9,
                        onset=event.tau,
                        tau=event.tau,
                        entities={"ip": str(event.data["ip"])},
                    ),
                )
            )
        return Judgement(scores=np.full(batch.n, np.nan), signals=signals)

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        return None

    def with_model(self, artefact: bytes | None) -> LoudAddresses:
        return self

    def playbooks(self) -> Sequence[Playbook]:
        steps = (Step(verb="ip.block", target="${incident.entities.ip}"),)
        return (Playbook(name="quiet-down", title=Text("Quiet down", "降噪"), on=("request-flood",), steps=steps),)


def test_the_loop_closes_over_http() -> None:
    """A flood is detected within a minute, its addresses are blocked through the webhook, and less is lost."""
    spec = {**named("request-flood"), "warm_up_s": 600, "start": 0, "duration_s": 600, "cool_down_s": 120}

    def open_side(door_url: str, secret: str, begin: int) -> object:
        return opened(door_url, secret, begin, desks=[LoudAddresses()])

    quiet = Limits(requests=1e9, address=1e9, declines=1e9, failures=1e9)
    result = rehearse(spec, "strong", 2, open_side, quiet)  # type: ignore[arg-type]
    assert result.detected
    assert result.seconds_to_detect is not None
    assert result.seconds_to_detect < 60
    assert result.seconds_to_respond is not None
    assert result.seconds_to_respond < 120
    assert result.false_incidents == 0
    assert result.lost_with < result.lost_without / 2
    assert result.lost_with_thresholds == result.lost_without
