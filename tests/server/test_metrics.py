"""What the doors count in plain numbers reads as if Prometheus' own library had counted it."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from tocsin.server.metrics import Answers, Durations
from tocsin.server.metrics_table import BUCKETS, METRICS

ANSWERS = st.lists(st.tuples(st.sampled_from(["events", "verdicts"]), st.sampled_from([200, 202, 400, 429])))


def text(registry: CollectorRegistry) -> str:
    """Return what a scrape reads, without the moments at which counting began."""
    return re.sub(r"(_created(?:\{.*\})?) [0-9.e+]+\n", r"\1\n", generate_latest(registry).decode())


@given(ANSWERS)
def test_answers_read_as_a_counter_of_the_library(answers: list[tuple[str, int]]) -> None:
    """Names, labels, order and values."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counted = Answers()
    ours.register(counted)
    row = METRICS["tocsin_requests"]
    counter = Counter("tocsin_requests", row.meaning, row.labels, registry=theirs)
    for door, status in answers:
        counted.add(door, status)
        counter.labels(door, str(status)).inc()
    assert text(ours) == text(theirs)


@given(st.lists(st.floats(0.0, 3.0) | st.sampled_from(BUCKETS)))
@example(list(BUCKETS))
@example([])
def test_durations_read_as_a_histogram_of_the_library(durations: list[float]) -> None:
    """Bounds belong to their bucket; counts are cumulative; the sum is the same float."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timed = Durations()
    ours.register(timed)
    name = "tocsin_verdict_seconds"
    histogram = Histogram(name, METRICS[name].meaning, buckets=BUCKETS, registry=theirs)
    for seconds in durations:
        timed.add(seconds)
        histogram.observe(seconds)
    assert text(ours) == text(theirs)


def test_when_counting_began_is_told() -> None:
    """A counter that starts anew is recognised by its moment; it does not move while it counts."""
    counted, registry = Answers(), CollectorRegistry()
    registry.register(counted)
    labels = {"door": "events", "status": "202"}
    assert registry.get_sample_value("tocsin_requests_created", labels) is None
    counted.add("events", 202)
    began = registry.get_sample_value("tocsin_requests_created", labels)
    counted.add("events", 202)
    assert began is not None and registry.get_sample_value("tocsin_requests_created", labels) == began
    assert registry.get_sample_value("tocsin_requests_total", labels) == 2.0
