"""Specs of trouble: what is refused, and what the primitives do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.core.events import MINUTE, SECOND
from tocsin.errors import Misconfigured
from tocsin.twin.store import Recorder, Store
from tocsin.twin.trouble import NAMES, STRENGTHS, compose, named, parse, read, strengths_of
from tocsin.twin.world import EPOCH

HEAD = "name: x\nduration_s: 600\nparts:\n"
FAILURE = "  - {primitive: failure, stream: payments, share: 0.5"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: x", "duration_s"),
        ("- 1", "the document"),
        ("name: [", "not YAML"),
        ("name: X\nduration_s: 1\nparts: []", "parts"),
        (HEAD + "  - {primitive: melt, stream: payments}", "parts[0].primitive"),
        (HEAD + FAILURE + "}\n  - {primitive: failure, stream: payments, share: high}", "parts[1].share"),
        (HEAD + FAILURE + ", colour: red}", "colour"),
        (HEAD + "  - {primitive: failure, stream: payments, share: 1.5}", "parts[0].share"),
        (HEAD + "  - {primitive: failure, stream: payments}", "parts[0]"),
        (HEAD + "  - {primitive: latency, stream: catalogue, factor: 2}", "parts[0].stream"),
        (HEAD + "  - {primitive: mix, stream: payments, group: nobody, ips: 3}", "parts[0].group"),
        (HEAD + FAILURE + ", after: nothing}", "parts[0].after"),
        (HEAD + FAILURE + ", overlap_s: 5}", "parts[0].overlap_s"),
        (HEAD + FAILURE + ", where: {moon: [full]}}", "parts[0].where"),
        (HEAD + FAILURE + ", duration_s: -5}", "parts[0].duration_s"),
        ("strengths: [weak, strong]\n" + HEAD + FAILURE + ", strength: {weak: 1}}", "parts[0].strength"),
        ("start: {between: [9, 1]}\n" + HEAD + FAILURE + "}", "start.between"),
    ],
)
def test_a_bad_spec_is_refused_and_the_place_is_named(text: str, place: str) -> None:
    """The message holds the file's name and the path of what is wrong."""
    with pytest.raises(Misconfigured) as refused:
        parse(text, "bad.yaml")
    assert "bad.yaml" in str(refused.value)
    assert place in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing spec is a setting that is wrong, not a crash."""
    with pytest.raises(Misconfigured, match=r"none\.yaml"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_our_drills_come_in_three_strengths_with_a_start_that_the_seed_chooses(name: str) -> None:
    """Ten seeds give ten starts, all after the warm-up."""
    spec = named(name)
    assert strengths_of(spec) == STRENGTHS
    starts = {compose(spec, seed=seed, strength="weak", begin=0).start for seed in range(10)}
    assert len(starts) == 10
    assert min(starts) >= spec["warm_up_s"] * SECOND


def test_an_unknown_drill_is_refused_with_the_known_ones() -> None:
    """The message lists what there is."""
    with pytest.raises(Misconfigured, match="card-testing"):
        named("volcano")


def test_a_ramp_rises_to_full_strength_and_stops_at_the_end() -> None:
    """Ten minutes with a ramp of 100 s: nothing before, half at 50 s, full at 100 s, nothing at 600 s."""
    spec = parse(HEAD + "  - {primitive: failure, stream: payments, share: 0.8, ramp_s: 100, strength: 0.5}")
    part = compose(spec, seed=1, strength="medium", begin=0).parts[0]
    assert [part.intensity(s * SECOND) for s in (-1, 0, 50, 100, 599, 600)] == [0.0, 0.0, 0.25, 0.5, 0.5, 0.0]


def test_overlapping_parts_join() -> None:
    """Failure shares 0.5 and 0.5 leave a quarter; factors 2 and 3 make 6; milliseconds add; filters keep others out."""
    where = ", where: {gateway: [a]}}"
    spec = parse(
        HEAD
        + FAILURE + where + "\n" + FAILURE + "}\n"
        + "  - {primitive: latency, stream: payments, factor: 2}\n"
        + "  - {primitive: latency, stream: payments, factor: 3, add_ms: 40}\n"
    )  # fmt: skip
    trouble = compose(spec, seed=1, strength="medium", begin=0)
    assert trouble.failure("payments", {"gateway": "a"}, MINUTE)[0] == pytest.approx(0.75)
    assert trouble.failure("payments", {"gateway": "b"}, MINUTE)[0] == pytest.approx(0.5)
    assert trouble.factor("latency", "payments", {}, MINUTE) == pytest.approx(6.0)
    assert trouble.added_ms("payments", {}, MINUTE) == pytest.approx(40.0)


def test_one_part_may_begin_before_another_ends() -> None:
    """After ``a`` (0 to 100 s) with 30 s of overlap begins at 70 s."""
    spec = parse(HEAD + FAILURE + ", id: a, duration_s: 100}\n" + FAILURE + ", after: a, overlap_s: 30}")
    parts = compose(spec, seed=1, strength="medium", begin=0).parts
    assert (parts[1].start, parts[1].end) == (70 * SECOND, 600 * SECOND)


def test_an_unseen_spec_of_every_primitive_runs() -> None:
    """Price, stock, rate of visits and of logins, value and request failures all leave their marks."""
    spec = parse(
        HEAD
        + "  - {primitive: price, stream: catalogue, where: {sku: [sku-0001]}, factor: 0.1}\n"
        + "  - {primitive: stock, stream: catalogue, where: {category: [toys]}, set: 0}\n"
        + "  - {primitive: rate, stream: visits, factor: 3}\n"
        + "  - {primitive: rate, stream: logins, group: g, per_minute: 60}\n"
        + "  - {primitive: mix, stream: logins, group: g, ips: 2, accounts: 5, live: 0.5}\n"
        + "  - {primitive: value, stream: orders, factor: 4}\n"
        + "  - {primitive: failure, stream: requests, where: {path: [/checkout]}, share: 0.5}\n"
    )
    start = EPOCH + 12 * 60 * MINUTE
    trouble = compose(spec, seed=1, strength="medium", begin=start + 10 * MINUTE)
    told: dict[str, list[dict[str, object]]] = {}
    recorder = Recorder()
    Store(1, recorder, start=start, troubles=[trouble]).run(start + 25 * MINUTE)
    for event in recorder.events:
        told.setdefault(event["type"], []).append(event["data"])
    assert [row["sku"] for row in told["price.changed"]] == ["sku-0001", "sku-0001"]
    assert sum(row["reason"] == "adjusted" for row in told["stock.changed"]) == 15
    assert sum(row["success"] is False for row in told["account.login"]) > 300
    assert any(row["status"] == 500 for row in told["http.request"])


def test_a_spec_without_truth_names_its_broken_gateways() -> None:
    """A failure of two gateways makes both right to act on; where the spec says something else, that counts."""
    text = HEAD + FAILURE + ", where: {gateway: [beta-pay, alpha-pay]}}"
    assert compose(parse(text), seed=1, strength="medium", begin=0).subjects == (
        "service:alpha-pay",
        "service:beta-pay",
    )
    told = parse(text + "\nexpect: {subjects: ['service:web']}")
    assert compose(told, seed=1, strength="medium", begin=0).subjects == ("service:web",)


def test_the_spec_in_the_docs_is_one() -> None:
    """What docs/drills.md shows is accepted, and its overlap begins where it says."""
    page = (Path(__file__).parents[2] / "docs" / "drills.md").read_text("utf-8")
    spec = parse(page.split("```yaml\n")[1].split("```")[0])
    parts = compose(spec, seed=1, strength="weak", begin=0).parts
    assert parts[1].start == parts[0].end - 300 * SECOND
