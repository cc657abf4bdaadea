"""Few events as packed rows: each field that the rules of its type read is fetched once, into eight bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_syntax import INT_MAX, INT_MIN
from tocsin.flow.machine import ops
from tocsin.flow.machine.tables import address, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.machine.assembly import Field
    from tocsin.flow.machine.link import Program

FEW = 64
"""So many events are packed; more are read as columns."""
BITS = 62
"""Fields whose absence one word of a packed row tells."""
_FITS = {
    "int": ("v.__class__ is int and INT_MIN <= v <= INT_MAX", "v"),
    "double": ("v.__class__ is float and v == v", "v"),
    "bool": ("v.__class__ is bool", "v"),
    "string": ("v.__class__ is str", "h(v)"),
}
_FORMATS = {"int": "q", "double": "d", "bool": "q", "string": "Q"}


class Packer:
    """Packs events into rows: words of absence, then eight bytes for every field that any rule reads."""

    def __init__(self, program: Program) -> None:
        fields = [(slot, one) for slot, one in program.fields.items() if one.root in ("data", "event", "item")]
        place = {slot: at for at, (slot, _) in enumerate(fields)}
        self._absences = len(fields) // BITS + 1
        self.stride = 8 * (self._absences + len(fields))
        self.rows = np.zeros(FEW * self.stride, np.uint8)
        base = address(self.rows)
        for slot, one in fields:
            at, bit = place[slot], 8 * (place[slot] // BITS)
            where = base + 8 * (self._absences + at)
            kind = ops.BYTE if one.type == "bool" else ops.VALUE
            told = (ops.MASKED, base + bit, self.stride, at % BITS, 0)
            program.put(program.packed, slot, kind, where, self.stride, *told)
        self._answers = program.answers
        self._strange: list[int] = []
        asked = {program.entries[slot]: slot for slot in program.answers}
        self.fetch = [
            self._fetching(
                [
                    (place[slot], one, asked[slot] if asked.get(slot) in certain else -1)
                    for slot, one in fields
                    if slot in reads
                ]
            )
            for reads, certain in zip(map(frozenset, program.reads), program.certain, strict=False)
        ]
        """By class: puts an event's fields into ``rows`` at an offset; the last arguments hash a text, and ``meet``."""

    def meet(self, slot: int, key: int, text: str) -> None:
        """Take in a text that few events have not brought yet."""
        answers = self._answers[slot]
        answers.make_room(1)
        if not answers.knows(signed(key)):
            answers.learn(signed(key), text)
            self._strange.append(slot)
        answers.texts.add(text)

    def met(self, program: Program) -> None:
        """Tell the program where the answers lie, once there are new ones."""
        for slot in self._strange:
            program.point(slot)
        self._strange.clear()

    def _fetching(self, fields: Sequence[tuple[int, Field, int]]) -> Callable[..., None]:
        names: dict[str, Any] = {"INT_MIN": INT_MIN, "INT_MAX": INT_MAX}
        lines = ["def fetch(e, rows, at, h, meet):", "    g = e.data.get"]
        lines += [f"    m{word} = 0" for word in range(self._absences)]
        layout, last = "q" * self._absences, 0
        for number, (place, one, asked) in enumerate(fields):
            layout += f"{8 * (place - last)}x{_FORMATS[one.type]}"
            last = place + 1
            names[f"n{number}"] = one.name
            lines += _fetched(one, number, f"m{place // BITS} |= {1 << place % BITS}")
            if asked >= 0:
                names[f"t{number}"] = self._answers[asked].texts
                held = f"getattr(e, n{number})" if one.root == "event" else f"g(n{number})"
                lines += [
                    f"    v = {held}",
                    f"    if v.__class__ is str and v not in t{number}:",
                    f"        meet({asked}, a{number}, v)",
                ]
        layout += f"{8 * ((self.stride // 8) - self._absences - last)}x"
        names["pack"] = struct.Struct("<" + layout).pack_into
        words = "".join(f", m{word}" for word in range(self._absences))
        values = "".join(f", a{number}" for number in range(len(fields)))
        lines.append(f"    pack(rows, at{words}{values})")
        exec(compile("\n".join(lines), "<fields>", "exec"), names)  # names of fields are bound, never written out
        fetch: Callable[..., None] = names["fetch"]
        return fetch


def _fetched(one: Field, number: int, absent: str) -> list[str]:
    """Return the lines that fetch a field."""
    if one.root == "event":
        read = f"getattr(e, n{number})"
        return [f"    a{number} = {read if one.type == 'int' else f'h({read})'}"]
    if one.root != "data":
        return [f"    a{number} = 0", f"    {absent}"]
    fits, value = _FITS[one.type]
    lines = [f"    v = g(n{number})", f"    if {fits}:", f"        a{number} = {value}"]
    if one.type == "double":
        lines += ["    elif v.__class__ is int:", f"        a{number} = float(v)"]
    return [*lines, "    else:", f"        a{number} = 0", f"        {absent}"]
