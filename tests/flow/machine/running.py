"""Running programs on the rule machine, to compare with what each comes to alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.desk import Rule
from tocsin.core.signal import Decision, Mode, Text
from tocsin.flow.machine.machine import Machine
from tocsin.flow.rules import Ready

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.batch import PlainBatch
    from tocsin.flow.cel import Program

    from ..cel_wild import Sample


def machine_of(programs: Sequence[Program], types: Sequence[str], before: Machine | None = None) -> Machine:
    """Return a machine of these programs; rule ``k`` is the k-th, and looks at all the types."""
    return Machine(
        [
            Ready(
                Rule(id=str(at), when=one.text, decision=Decision.HOLD, code="c", text=Text("t", "t"), mode=Mode.LIVE),
                tuple(types),
                one,
            )
            for at, one in enumerate(programs)
        ],
        before,
    )


def one_by_one(machine: Machine, sample: Sample, count: int) -> list[list[Any]]:
    """Return by program value or cause by row, each row a batch of its own."""
    found: list[list[Any]] = [[] for _ in range(count)]
    for row in range(len(sample.events)):
        rows = np.array([row])
        hits, failed = machine.run(sample.wide.pick(rows), sample.table.pick(rows), sample.scores[rows], sample.lists)
        fired = {rule for rule, _ in hits}
        causes = {int(key.split(":")[1]): key.split(":")[2] for key, _ in failed}
        for at, one in enumerate(found):
            one.append(causes.get(at) or (at in fired,))
    return found


def at_once(machine: Machine, sample: Sample, batch: PlainBatch) -> tuple[dict[int, list[int]], Counter[str]]:
    """Return (the rows by program that fired, the counters of errors) of a whole sample."""
    hits, failed = machine.run(batch, sample.table, sample.scores, sample.lists)
    return dict(hits), Counter(dict(failed))


def expected(alone: Sequence[Sequence[Any]]) -> tuple[dict[int, list[int]], Counter[str]]:
    """Return what ``at_once`` has to be, from value or cause by program and row."""
    hits = {at: [row for row, one in enumerate(rows) if one == (True,)] for at, rows in enumerate(alone)}
    errors = Counter(
        f"rule_error:{at}:{one if isinstance(one, str) else 'overload'}"
        for at, rows in enumerate(alone)
        for one in rows
        if isinstance(one, str) or one[0].__class__ is not bool
    )
    return {at: rows for at, rows in hits.items() if rows}, errors
