"""Metrics for Prometheus: one table of names, units and meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tocsin.core.events import SECOND
from tocsin.core.incident import Incident, Phase, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from tocsin.app import Tocsin
    from tocsin.server.box import LetterBox

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
_HOST_COUNTERS = {
    "accepted": "events accepted: on disk",
    "duplicates": "events that were known already",
    "verdicts": "verdicts computed",
    "verdicts_late": "verdicts of which the caller had given up waiting",
    "verdicts_degraded": "verdicts served from the configured fall-back",
    "journal_refusals": "writes that the journal refused",
    "shed": "events refused because the queue was full",
}


class Measures:
    """What the doors count and time."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tocsin_requests", "requests of the machine doors", ["door", "status"], registry=self.registry
        )
        self.refused = Counter("tocsin_events_refused", "events refused at a door", ["code"], registry=self.registry)
        self.verdict_seconds = Histogram(
            "tocsin_verdict_seconds",
            "time from request to answer of /v1/verdicts",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def watch(self, box: LetterBox) -> None:
        """Read the dead-letter box at each scrape."""
        kept = Gauge("tocsin_letters_kept", "dead letters kept since the start", registry=self.registry)
        kept.set_function(lambda: box.kept)
        lost = Gauge("tocsin_letters_lost", "refused events the box could not take", registry=self.registry)
        lost.set_function(lambda: box.lost)


class _House(Collector):
    """Reads the running house at the moment of the scrape."""

    def __init__(self, tocsin: Tocsin) -> None:
        self._tocsin = tocsin

    def collect(self) -> Iterator[Metric]:
        host = self._tocsin.host
        for name, meaning in _HOST_COUNTERS.items():
            yield CounterMetricFamily(f"tocsin_{name}", meaning, value=host.counters.get(name, 0))
        folds = CounterMetricFamily("tocsin_fold", "counts of the fold by name", labels=["name"])
        for name, value in list(self._tocsin.fold.counters.items()):
            folds.add_metric([name], value)
        yield folds
        yield GaugeMetricFamily("tocsin_queue_events", "events in the queue, not yet folded", value=host.queued)
        yield GaugeMetricFamily("tocsin_refusing", "1 while the intake accepts nothing", value=int(bool(host.refusing)))
        lag = max(0, self._tocsin.clock.now() - host.stamper.tau) / SECOND if host.stamper.tau else 0.0
        yield GaugeMetricFamily("tocsin_tau_age_seconds", "age of the newest accepted event", value=lag)
        kill = GaugeMetricFamily(
            "tocsin_kill_switch", "1 while the kill switch is on", value=int(self._tocsin.kill.on())
        )
        yield kill
        open_ = GaugeMetricFamily("tocsin_incidents_open", "incidents that are not closed", labels=["severity"])
        active = [phase.value for phase in Phase if phase.active]
        for level in Severity:
            where = {"phase": active, "severity": level.value}
            open_.add_metric([level.value], self._tocsin.records.table(Incident).count(where))
        yield open_


def exposition(tocsin: Tocsin, measures: Measures) -> bytes:
    """Return all metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_House(tocsin))
    return generate_latest(measures.registry) + generate_latest(registry)
