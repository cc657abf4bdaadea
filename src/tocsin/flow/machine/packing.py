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
    "string": ("v.__class__ is str", ""),
}
_FORMATS = {"int": "q", "double": "d", "bool": "q", "string": "Q"}


class Packer:
    """Packs events into rows: words of absence, then eight bytes for every field that any rule reads."""

    def __init__(self, program: Program) -> None:
        fields = [(slot, one) for slot, one in program.fields.items() if one.root in ("data", "event", "item")]
        place = {slot: at for at, (slot, _) in enumerate(fields)}
        self._absences = len(fields) // BITS + 1
        self.stride = 8 * (self._absences + len(fields) + len(program.answers))
        self.rows = np.zeros(FEW * self.stride, np.uint8)
        base = address(self.rows)
        for slot, one in fields:
            at, bit = place[slot], 8 * (place[slot] // BITS)
            where = base + 8 * (self._absences + at)
            kind = ops.BYTE if one.type == "bool" else ops.VALUE
            told = (ops.MASKED, base + bit, self.stride, at % BITS, 0)
            program.put(program.packed, slot, kind, where, self.stride, *told)
        for number, slot in enumerate(program.answers, len(fields)):
            place[slot] = number
            where = base + 8 * (self._absences + number)
            program.put(program.packed, slot, ops.ENTRY, where, self.stride, ops.WHOLE, 0, 0, 0, 0)
        self._answers, self._words, self._place = program.answers, program.hashes.get, place
        self._numbers = self.rows.view(np.int64)
        self._learned: set[int] = set()
        self.fetch = [
            self._fetching(
                [(place[slot], one, slot in program.hashed) for slot, one in fields if slot in reads],
                [(slot, slot in certain) for slot in program.answers if slot in reads],
            )
            for reads, certain in zip(map(frozenset, program.reads), program.certain, strict=False)
        ]
        """By class: puts an event's fields into ``rows`` at an offset; the last arguments hash a text, and ``meet``."""

    def meet(self, slot: int, text: str, text_hash: Callable[[str], int]) -> int:
        """Return a text's row of answers, which it is asked for where it is not known."""
        answers = self._answers[slot]
        entry = answers.entries.get(text)
        if entry is None:
            entry = answers.learn(signed(text_hash(text)), text)
            self._learned.add(slot)
        return entry

    def enter(self, slot: int, row: int, text: str, text_hash: Callable[[str], int]) -> None:
        """Fill in a row of answers that was waited for."""
        at = row * (self.stride // 8) + self._absences + self._place[slot]
        self._numbers[at] = self.meet(slot, text, text_hash)

    def met(self, program: Program) -> None:
        """Tell the program where the answers lie, once there are new ones."""
        for slot in self._learned:
            program.point(slot)
        self._learned.clear()

    def _fetching(
        self, fields: Sequence[tuple[int, Field, bool]], asked: Sequence[tuple[int, bool]]
    ) -> Callable[..., None]:
        names: dict[str, Any] = {"INT_MIN": INT_MIN, "INT_MAX": INT_MAX, "w": self._words}
        lines = ["def fetch(e, rows, at, h, meet):", "    g = e.data.get"]
        lines += [f"    m{word} = 0" for word in range(self._absences)]
        layout, last, values = "q" * self._absences, 0, [f"m{word}" for word in range(self._absences)]
        for number, (place, one, hashed) in enumerate(fields):
            layout += f"{8 * (place - last)}x{_FORMATS[one.type]}"
            last = place + 1
            names[f"n{number}"] = one.name
            text = "h({})" if hashed else "w({}, 0)"
            lines += _fetched(one, number, f"m{place // BITS} |= {1 << place % BITS}", text)
            values.append(f"a{number}")
        for slot, certain in asked:
            layout += f"{8 * (self._place[slot] - last)}xq"
            last = self._place[slot] + 1
            answers = self._answers[slot]
            names[f"k{slot}"], names[f"s{slot}"] = answers.field.name, answers.entries.get
            lines += _asked(answers.field.root, slot, certain)
            values.append(f"b{slot}")
        layout += f"{8 * ((self.stride // 8) - self._absences - last)}x"
        names["pack"] = struct.Struct("<" + layout).pack_into
        lines.append(f"    pack(rows, at, {', '.join(values)})")
        exec(compile("\n".join(lines), "<fields>", "exec"), names)  # names of fields are bound, never written out
        fetch: Callable[..., None] = names["fetch"]
        return fetch


def _asked(root: str, slot: int, certain: bool) -> list[str]:
    """Return the lines that fetch a text's row of answers; where it is ``certain`` to be read, a new one is met."""
    return [
        f"    v = getattr(e, k{slot})" if root == "event" else f"    v = g(k{slot})",
        f"    b{slot} = s{slot}(v, {ops.STRANGE}) if v.__class__ is str else {ops.NO_TEXT}",
        *([f"    if b{slot} == {ops.STRANGE}:", f"        b{slot} = meet({slot}, v, h)"] if certain else []),
    ]


def _fetched(one: Field, number: int, absent: str, text: str) -> list[str]:
    """Return the lines that fetch a field."""
    if one.root == "event":
        return [f"    v = getattr(e, n{number})", f"    a{number} = {'v' if one.type == 'int' else text.format('v')}"]
    if one.root != "data":
        return [f"    a{number} = 0", f"    {absent}"]
    fits, value = _FITS[one.type]
    lines = [f"    v = g(n{number})", f"    if {fits}:", f"        a{number} = {value or text.format('v')}"]
    if one.type == "double":
        lines += ["    elif v.__class__ is int:", f"        a{number} = float(v)"]
    return [*lines, "    else:", f"        a{number} = 0", f"        {absent}"]
