"""Questions and verdicts in one block: the events that a list of them would be, and the records' rows."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.events import Event
from tocsin.core.signal import Decision, Reason, Text, Verdict
from tocsin.ledger import blocks
from tocsin.ledger.blocks import block_from
from tocsin.runtime.served import Served
from tocsin.runtime.verdicts import as_event

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
Verdicts = st.lists(
    st.builds(
        Verdict,
        id=st.uuids().map(str),
        event_id=WORDS,
        event_source=WORDS,
        event_type=WORDS,
        shop=st.sampled_from(["default", "", "店"]),
        subject=WORDS,
        time=st.integers(0, 1 << 50),
        tau=st.integers(0, 1 << 50),
        computed=st.sampled_from(Decision),
        served=st.sampled_from(Decision),
        score=st.none() | st.floats(0, 1),
        reasons=st.lists(st.builds(Reason, code=WORDS, text=st.builds(Text, en=WORDS, zh=WORDS)), max_size=2).map(
            tuple
        ),
        features=st.dictionaries(WORDS, st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        amount=st.none() | st.integers(0, 1 << 40),
    ),
    max_size=5,
    unique_by=lambda verdict: verdict.id,
)


def asked(n: int) -> list[Event]:
    return [Event(id=f"e{k}", source="t", type="payment.attempted", time=k, data={"card": "卡\n"}) for k in range(n)]


@given(st.integers(1, 4), Verdicts, st.integers(1, 1 << 40))
def test_the_block_holds_the_very_events_and_the_bodies_are_the_verdicts(
    n: int, verdicts: list[Verdict], first: int
) -> None:
    """Read back it is what a list of stamped events would have been, to be read one by one."""
    made = [msgspec.json.decode(msgspec.json.encode(as_event(verdict)), type=Event) for verdict in verdicts]
    events = [*asked(n), *made]
    taus = np.arange(len(events)) + 7
    stamped = [msgspec.structs.replace(event, seq=first + place, tau=7 + place) for place, event in enumerate(events)]
    lines = bytes(block_from(stamped[:n]).lines)
    served = Served(blocks, lines, first, taus, ["payment.attempted"], verdicts)
    block = served.block()
    assert block.events() == stamped
    assert (block.singly, block.last_seq) == (True, served.last_seq)
    assert set(block.types) == {event.type for event in events}
    assert {id: msgspec.json.decode(body, type=Verdict) for id, body in served.bodies.items()} == {
        verdict.id: verdict for verdict in verdicts
    }


@given(Verdicts)
def test_a_correction_is_what_is_written(verdicts: list[Verdict]) -> None:
    """A verdict that was not told in time is replaced in its place, also where it had been encoded."""
    taus = np.zeros(1 + len(verdicts), np.int64)
    served = Served(blocks, bytes(block_from(asked(1)).lines), 1, taus, ["payment.attempted"], verdicts)
    served.block()
    others = {one.id: msgspec.structs.replace(one, degraded="no disk") for one in verdicts[::2]}
    served.correct(others)
    found = [msgspec.convert(event.data, Verdict) for event in served.block().events()[1:]]
    assert found == [others.get(one.id, one) for one in verdicts]
    assert all(msgspec.json.decode(served.bodies[one.id], type=Verdict) == one for one in found)
