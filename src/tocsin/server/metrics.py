"""Metrics for Prometheus, at the moment of the scrape. Their names, units and meanings: ``metrics_table.METRICS``.

What the data plane gives is read through ``gauging``, as the API does; a part that is not there has no metrics, not 0.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tocsin.core.events import SECOND
from tocsin.core.incident import Incident, Phase, Severity
from tocsin.server.metrics_table import BUCKETS, METRICS, MOST_RULES, Kind, samples
from tocsin.telemetry import BINS, FINEST_S, PER_DOUBLING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from tocsin.app import Tocsin
    from tocsin.server.box import LetterBox
    from tocsin.server.gauging import Gauge as PlaneGauge
    from tocsin.telemetry import Plane

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ACTIVE = [phase.value for phase in Phase if phase.active]


class Answers(Collector):
    """Answers of the machine doors by door and status: plain numbers, of which a scrape makes samples.

    Counted by one thread, read by any.
    """

    def __init__(self) -> None:
        self._counted: dict[tuple[str, int], int] = {}
        self._created: dict[tuple[str, int], float] = {}

    def add(self, door: str, status: int) -> None:
        """Count one answer."""
        one = (door, status)
        if one in self._counted:
            self._counted[one] += 1
        else:
            # The time first: a scrape finds one for all that is counted.
            self._created[one] = time.time()
            self._counted[one] = 1

    def collect(self) -> Iterator[Metric]:
        """Yield the counter with a sample for each door and status that was seen."""
        row = METRICS["tocsin_requests"]
        family = CounterMetricFamily("tocsin_requests", row.meaning, labels=row.labels)
        for one, n in list(self._counted.items()):
            family.add_metric([one[0], str(one[1])], n, created=self._created[one])
        yield family


class Durations(Collector):
    """How long verdicts took, in the buckets of ``BUCKETS``: plain numbers, of which a scrape makes samples.

    Counted by one thread, read by any: a reader may see a duration half counted.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0
        self._created = time.time()

    def add(self, seconds: float) -> None:
        """Count one duration; a bucket holds its upper bound."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram: cumulative counts, sum and since when."""
        name = "tocsin_verdict_seconds"
        family = HistogramMetricFamily(name, METRICS[name].meaning)
        bounds = (*map(floatToGoString, BUCKETS), "+Inf")
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        family.add_sample(f"{name}_created", {}, self._created)
        yield family


class Measures:
    """What the doors count and time."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Answers()
        self.registry.register(self.requests)
        self.refused = Counter(
            "tocsin_events_refused", METRICS["tocsin_events_refused"].meaning, ["code"], registry=self.registry
        )
        self.verdict_seconds = Durations()
        self.registry.register(self.verdict_seconds)

    def watch(self, box: LetterBox) -> None:
        """Read the dead-letter box at each scrape."""
        for name, read in (("tocsin_letters_kept", lambda: box.kept), ("tocsin_letters_lost", lambda: box.lost)):
            Gauge(name, METRICS[name].meaning, registry=self.registry).set_function(read)

    def refused_by_code(self) -> dict[str, int]:
        """Return how many events were refused, by code."""
        return {
            sample.labels["code"]: int(sample.value)
            for family in self.refused.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }


class _House(Collector):
    """Reads the running house at the moment of the scrape."""

    def __init__(self, tocsin: Tocsin, gauge: PlaneGauge) -> None:
        self._tocsin = tocsin
        self._gauge = gauge

    def collect(self) -> Iterator[Metric]:
        found = samples(self._gauge.look(MOST_RULES))
        found["tocsin_journal_refusals"] = [((), self._tocsin.host.counters["journal_refusals"])]
        found["tocsin_fold"] = [((name,), n) for name, n in self._gauge.fold_counters().items()]
        found["tocsin_refusing"] = [((), int(bool(self._tocsin.host.refusing)))]
        found["tocsin_kill_switch"] = [((), int(self._tocsin.kill.on()))]
        found["tocsin_incidents_open"] = [((level.value,), self._open(level)) for level in Severity]
        stamper = self._tocsin.host.stamper
        age = max(0, self._tocsin.clock.now() - stamper.tau) / SECOND if stamper.tau else 0.0
        found["tocsin_tau_age_seconds"] = [((), age)]
        yield from stage_histograms(self._tocsin.plane)
        for name, values in found.items():
            yield _family(name, values)

    def _open(self, level: Severity) -> int:
        return self._tocsin.records.table(Incident).count({"phase": _ACTIVE, "severity": level.value})


def stage_histograms(plane: Plane) -> Iterator[Metric]:
    """Yield how long the runs of each stage took, in buckets of powers of two from 16 us to 34 s."""
    family = HistogramMetricFamily("tocsin_stage_seconds", METRICS["tocsin_stage_seconds"].meaning, labels=["stage"])
    for stage in plane.stages.values():
        bins = list(stage.bins)
        bounds = [(f"{FINEST_S * 2**power:.6f}", sum(bins[: PER_DOUBLING * power])) for power in range(4, 26)]
        family.add_metric([stage.name], [*bounds, ("+Inf", sum(bins))], sum_value=stage.seconds)
    yield family


def _family(name: str, values: Sequence[tuple[tuple[str, ...], float]]) -> Metric:
    row = METRICS[name]
    made: Any = CounterMetricFamily if row.kind is Kind.COUNTER else GaugeMetricFamily
    family: Metric = made(name, row.meaning, labels=row.labels)
    for labels, value in values:
        family.add_metric(list(labels), value)  # type: ignore[attr-defined]
    return family


def exposition(tocsin: Tocsin, measures: Measures, gauge: PlaneGauge) -> bytes:
    """Return all metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_House(tocsin, gauge))
    return generate_latest(measures.registry) + generate_latest(registry)


assert BINS >= PER_DOUBLING * 26, "the bounds of the histogram are bounds of bins"
