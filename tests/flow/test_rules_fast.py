"""Rules on columns of Rows, fused for single events, and reloaded: always what the scalar evaluation says."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from tocsin.core.desk import Aggregate, Rule, Window
from tocsin.core.events import Event
from tocsin.core.signal import Decision, Mode, Text
from tocsin.flow.cel import RULE, CelError, Program
from tocsin.flow.filters import item_filter, item_mask, mask
from tocsin.flow.hashing import Hasher
from tocsin.flow.lists import Lists
from tocsin.flow.rule_groups import Group
from tocsin.flow.rules import Ready, RuleSet, check_rule, fired
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.flow.wide.rows import Rows

from .cel_random import FEATURES
from .cel_wild import HASHER, NAMES, Sample, Wild, differences
from .cel_wild import lists as held_lists

SCOPE = RULE.narrow((), FEATURES)
READS = ("payment.attempted", "http.request", "order.placed")
KINDS = ("bool", "bool", "bool", "int", "double", "string")


def compared(seed: int, count: int, rows: int) -> list[str]:
    """Return where columns of Rows or of plain batches differ from single values."""
    maker, found, held = Wild(seed), [], held_lists()
    for number in range(count):
        if number % 40 == 0:
            sample = Sample(maker.events(rows), held)
        program = Program(maker.make(KINDS[number % len(KINDS)], 3), SCOPE)
        expected = sample.alone(program)
        for batch in (sample.wide, sample.plain, sample.lines):
            found += differences(program, expected, sample.columns(program, batch))
    return found


def test_columns_of_hashed_texts_are_the_single_values() -> None:
    """Values and causes by row are the same on Rows, on a plain batch and one by one: wrong types, any text, lists."""
    assert compared(seed=5, count=600, rows=80) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_thousand_expressions_on_rows(seed: int) -> None:
    """5 x 20,000 expressions x 16 rows: columns and single values are the same."""
    assert compared(seed=seed, count=20_000, rows=16) == []


class House:
    """A desk of rules alone."""

    name, version, reads = "house", 1, READS
    windows = tuple(Window(name=name, fold=Aggregate.COUNT, by="card", span_s=60, of=READS) for name in FEATURES)
    series = deadlines = ()
    kinds: ClassVar[dict[str, Text]] = {}

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules


def rules_of(maker: Wild, count: int) -> list[Rule]:
    """Return random rules, a third each on one type, on two, and on all that the desk reads."""
    made: list[Rule] = []
    while len(made) < count:
        on = maker.random.choice(((), ("payment.attempted",), ("http.request", "payment.attempted")))
        rule = Rule(
            id=f"r{len(made)}",
            when=maker.make("bool", 3),
            decision=Decision.HOLD,
            code="c",
            text=Text("t", "t"),
            on=on,
            mode=Mode.LIVE,
        )
        try:
            check_rule(msgspec.structs.replace(rule, desk="house"), [House(())])  # type: ignore[list-item]
        except CelError:
            continue
        made.append(rule)
    return made


def by_hand(ready: Ready, sample: Sample) -> tuple[list[int], Counter[str]]:
    """Return the rows on which a rule fires, and its errors by counter."""
    hits, errors = [], Counter[str]()
    for row, one in enumerate(sample.alone(ready.program)):
        if sample.events[row].type not in ready.types:
            continue
        if isinstance(one, str):
            errors[f"rule_error:{ready.rule.id}:{one}"] += 1
        elif one == (True,):
            hits.append(row)
    return hits, errors


def ran(rules: RuleSet, sample: Sample, cut: int, *, lines: bool = False) -> tuple[dict[str, list[int]], Counter[str]]:
    """Return the rows by rule, and the counters, of a sample cut into batches of ``cut``."""
    group = rules.by_desk["house"]
    found: dict[str, list[int]] = {}
    counters: Counter[str] = Counter()
    source = sample.lines if lines else sample.wide
    for start in range(0, len(sample.events), cut):
        rows = np.arange(start, min(start + cut, len(sample.events)))
        batch, table = source.pick(rows), sample.table.pick(rows)
        for ready, hits in fired(group, batch, table, sample.scores[rows], sample.lists, counters):
            found.setdefault(ready.rule.id, []).extend(start + hit for hit in hits)
    return found, counters


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("cut", "lines"), [(1, False), (5, False), (30, False), (600, False), (30, True), (600, True)])
def test_rules_fire_as_each_does_alone_however_batches_are_cut(cut: int, lines: bool, compiled: bool) -> None:
    """The machine, columns, fused functions and any cut: the rows, the hits and the errors that each rule has alone."""
    maker = Wild(11)
    rules = RuleSet([House(tuple(rules_of(maker, 40)))], ())  # type: ignore[list-item]
    sample = Sample(maker.events(600), held_lists())
    if not compiled or AVAILABLE:
        rules.by_desk["house"] = Group(rules.by_desk["house"], compiled=compiled)
    found, counters = ran(rules, sample, cut, lines=lines)
    for ready in rules.by_desk["house"]:
        hits, errors = by_hand(ready, sample)
        assert found.get(ready.rule.id, []) == hits, ready.rule.when
        assert counters[f"rule:{ready.rule.id}"] == len(hits)
        assert {key: n for key, n in counters.items() if key.startswith(f"rule_error:{ready.rule.id}:")} == errors
    stats = {one.id: one for one in rules.stats()}
    for ready in rules.by_desk["house"]:
        hits, errors = by_hand(ready, sample)
        assert stats[ready.rule.id].hits == len(hits)
        assert {f"rule_error:{ready.rule.id}:{cause}": n for cause, n in stats[ready.rule.id].errors.items()} == errors


def document(rule: Rule) -> dict[str, Any]:
    """Return a rule as it is stored."""
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(rule, desk="house"))
    return found


def test_a_prepared_rule_set_comes_into_force_at_once_and_unchanged_rules_go_on() -> None:
    """What was prepared is used for the same documents; rules that stay keep what they counted; errors are told."""
    maker = Wild(3)
    made = rules_of(maker, 20)
    rules = RuleSet([House(())], ())  # type: ignore[list-item]
    documents = [document(rule) for rule in made]
    assert rules.replace(documents) == []
    sample = Sample(maker.events(200), held_lists())
    ran(rules, sample, 200)
    before = {one.id: one for one in rules.stats()}
    changed = [*documents[1:], {**documents[0], "when": "true"}, {**documents[2], "id": "bad", "when": "nothing > 1"}]
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(rules.prepare, changed).result()
    assert {one.id: one for one in rules.stats()} == before
    assert [one[:9] for one in rules.replace([dict(one) for one in changed])] == ["rule bad:"]
    assert rules.by_desk is prepared.by_desk
    after = {one.id: one for one in rules.stats()}
    assert {id_: one for id_, one in after.items() if id_ != "r0"} == {i: one for i, one in before.items() if i != "r0"}
    assert after["r0"].hits == 0
    found, _ = ran(rules, sample, 7)
    assert found["r0"] == [row for row, event in enumerate(sample.events) if event.type in rules._stored["r0"].types]
    assert rules.replace({"no": "list"}) == ["'rules' must be a list"]
    assert len(rules.stats()) == 20


@pytest.mark.parametrize("compiled", [False, AVAILABLE])
def test_time_is_sampled_in_columns_and_alone(compiled: bool) -> None:
    """Every 64th run is timed, and stands for the 64."""
    maker = Wild(4)
    rules = RuleSet([House(tuple(rules_of(maker, 5)))], ())  # type: ignore[list-item]
    rules.by_desk["house"] = Group(rules.by_desk["house"], compiled=compiled)
    sample = Sample(maker.events(70), held_lists())
    ran(rules, sample, 1)
    alone = [one.seconds for one in rules.stats()]
    assert sum(alone) > 0.0
    for _ in range(64):
        ran(rules, sample, 70)
    assert sum(one.seconds for one in rules.stats()) > sum(alone)


ITEM_FILTERS = (
    "item.quantity > 2 && data.amount > 500",
    "item.sku == 'sku-2' || item.price * 2 > 1000",
    "has(item.name) && item.name.contains('中') && event.type == 'order.placed'",
    "item.quantity * 9223372036854775807 > 0",
)


def test_filters_are_the_same_on_columns_alone_and_over_items() -> None:
    """A mask of rows or items is what each gives alone, with the same errors counted."""
    order, cart = ("order.placed",), ("cart.changed",)
    pick = Wild(9).random.choice
    events = [
        Event(
            id=str(seq),
            source="t",
            type=pick(("order.placed", "cart.changed")),
            time=seq,
            tau=seq,
            data={
                "amount": pick((100, 900, "x")),
                "items": pick(
                    (
                        "none",
                        [
                            {
                                "sku": f"sku-{n}",
                                "quantity": pick((n, 2**62, 1.5)),
                                "price": 400,
                                "name": pick(("中", 7)),
                            }
                            for n in range(4)
                        ],
                    )
                ),
            },
        )
        for seq in range(60)
    ]
    rows = Rows(events, NAMES, HASHER)
    for text in ITEM_FILTERS:
        wide, alone = Counter[str](), Counter[str]()
        keep = item_filter(text, order, alone)
        expected = [
            event.type == "order.placed" and keep(item, event)
            for event in events
            for item in (event.data["items"] if isinstance(event.data["items"], list) else ())
        ]
        assert item_mask(rows, text, order, wide).tolist() == expected, text
        assert wide == alone
    for text in ("data.amount > 500", "", "data.amount % 0 == 1 || event.seq == 0"):
        wide, alone = Counter[str](), Counter[str]()
        single = [mask(Rows([event], NAMES, HASHER), text, order, alone)[0] for event in events]
        assert mask(rows, text, order, wide).tolist() == single
        assert wide == alone
    assert mask(rows, "event.seq == 0", cart, Counter()).tolist() == [event.type == "cart.changed" for event in events]


def test_half_a_surrogate_pair_is_an_error_to_a_pattern_and_a_text_to_all_else() -> None:
    """No JSON of ours has one, other sources may: nothing is raised."""
    events = [Event(id="1", source="t", type="x", time=0, data={"card": card}) for card in ("\ud800", "a")] * 20
    sample = Sample([(event, {}, None) for event in events], held_lists(), lines=False)
    for text in ("data.card.matches('a')", "data.card == 'a'", "data.card.contains('a')", "size(data.card) == 1"):
        program = Program(text, SCOPE)
        assert differences(program, sample.alone(program), sample.columns(program, sample.wide)) == []
        assert differences(program, sample.alone(program), sample.fused([program])[0]) == []


def test_threads_that_share_a_program_do_not_mix_their_answers() -> None:
    """Two folds with different texts, lists and hashes run one program at once; each gets its own values."""
    program = Program(
        "data.card.matches('[02468]$') && (in_list('some', data.card) || in_cidr('nets', data.ip))", SCOPE
    )

    def work(seed: int) -> list[str]:
        held = Lists()
        for number in range(seed, 4000, 3):
            held.add("some", f"card-{number}", expires=50 if number % 2 else 0)
        held.add("nets", f"10.{seed}.0.0/16")
        found = []
        for start in range(0, 4000, 500):
            data = [{"card": f"card-{n}", "ip": f"10.{n % 5}.0.1"} for n in range(start, start + 500)]
            rows = [(Event(id="", source="", type="x", time=0, tau=40, data=one), {}, None) for one in data]
            sample = Sample(rows, held, lines=False)
            sample.wide = Rows(sample.events, NAMES, Hasher(bytes([seed]) * 16))
            found += differences(program, sample.alone(program), sample.columns(program, sample.wide))
        return found

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (0, 1, 0, 2))) == [[]] * 4
