"""The kernel that reads lines of the journal: what a door once admitted is neither checked nor changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import (
    after_space,
    byte,
    copied,
    float_bits,
    line_end,
    string_end,
    uncounted,
)
from tocsin.flow.wide.scan_checks import (
    ALSE,
    BOOL,
    FLOAT,
    HEADS,
    INT,
    MISSING,
    NULL,
    TEXT,
    TRUE,
    after_colon,
    same_text,
    span,
)
from tocsin.flow.wide.scan_layout import (
    H_ID,
    H_IDENTITY,
    H_LINE,
    H_SOURCE,
    H_SUBJECT,
    H_TIME,
    L_BETWEEN,
    LITERAL,
    LONGEST_LINE,
    N_BETWEEN,
    SHORTEST_ITEM,
    SPARE,
)
from tocsin.flow.wide.scan_tables import (
    A_DATA,
    A_ID,
    A_SHOP,
    A_SOURCE,
    A_SUBJECT,
    A_TIME,
    A_TYPE,
    ATTRIBUTES,
    FIELDS,
    TYPES,
)
from tocsin.flow.wide.scan_values import (
    AT,
    DECIMAL,
    END,
    FULL,
    ITEM,
    ITEMS,
    K0,
    K1,
    NOT_A_NUMBER,
    ROOM,
    ROW,
    ROWS,
    SHOP,
    SHOP_BYTES,
    SLOW,
    USED,
    name_at,
    number_at,
)
from tocsin.flow.wide.sip import sip_padded
from tocsin.flow.wide.words import load64

U = np.uint64


@woven
def scalar_at(body: np.ndarray, at: Any, shift: Any) -> Any:
    """Return (end, tag, cell) of a scalar; -1 for anything else. Texts lie ``shift`` further on in the chunk."""
    first = byte(body, at)
    if first == 0x22:
        end = string_end(body, at + 1)
        if end < 0:
            return np.int64(-1), np.int64(MISSING), U(0)
        return (end >> 1) + 1, np.int64(TEXT), span(at + 1 + shift, (end >> 1) - at - 1)
    if first == 0x2D or (48 <= first <= 57):
        sort, end, whole, decimal = number_at(body, at)
        if sort == NOT_A_NUMBER:
            return np.int64(-1), np.int64(MISSING), U(0)
        if sort == DECIMAL:
            return end, np.int64(FLOAT), float_bits(decimal)
        return end, np.int64(INT), U(whole)
    word = load64(body, at) & U(0xFFFFFFFF)
    if word == U(TRUE):
        return at + 4, np.int64(BOOL), U(1)
    if word == U(NULL):
        return at + 4, np.int64(MISSING), U(0)
    if first == 0x66 and (load64(body, at + 1) & U(0xFFFFFFFF)) == U(ALSE):
        return at + 5, np.int64(BOOL), U(0)
    return np.int64(-1), np.int64(MISSING), U(0)


@woven
def read_object(
    body: np.ndarray,
    start: Any,
    row: Any,
    shift: Any,
    skip: Any,
    cells: np.ndarray,
    tags: np.ndarray,
    slots: np.ndarray,
    names: np.ndarray,
) -> Any:
    """Read scalars from behind a brace into ``cells[skip + slot, row]``.

    Return (end, place of a bracket) where the object ends or a list under ``items`` begins; end is -1 where the plain
    decoder must read.
    """
    at = after_space(body, start)
    if byte(body, at) == 0x7D:
        return at + 1, np.int64(-1)
    while True:
        if byte(body, at) != 0x22:
            return np.int64(-1), np.int64(-1)
        name = at + 1
        end = string_end(body, name)
        if end < 0:
            return np.int64(-1), np.int64(-1)
        end = end >> 1
        number = name_at(names, FIELDS, body, name, end - name)
        slot = slots[number] if number >= 0 else np.int64(-1)
        at = after_colon(body, end + 1)
        if at < 0:
            return np.int64(-1), np.int64(-1)
        if slot == len(tags) and byte(body, at) == 0x5B:
            return at, at + 1
        at, tag, cell = scalar_at(body, at, shift)
        if at < 0:
            return np.int64(-1), np.int64(-1)
        if 0 <= slot < len(tags):
            tags[slot, row] = tag
            cells[skip + slot, row] = cell
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x7D:
            return at + 1, np.int64(-1)
        if first != 0x2C:
            return np.int64(-1), np.int64(-1)
        at = after_space(body, at + 1)


@woven
def read_items(
    body: np.ndarray,
    start: Any,
    row: Any,
    shift: Any,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    control: np.ndarray,
) -> Any:
    """Read a list of flat objects from behind its bracket; return its end, -1 for anything else."""
    at = after_space(body, start)
    if byte(body, at) == 0x5D:
        return at + 1
    while True:
        if byte(body, at) != 0x7B:
            return np.int64(-1)
        item = control[ITEM]
        item_frame[0, item] = U(row)
        for slot in range(4):
            item_tags[slot, item] = MISSING
        at, listed = read_object(body, at + 1, item, shift, np.int64(1), item_frame, item_tags, item_slot, names)
        if at < 0 or listed >= 0:
            return np.int64(-1)
        control[ITEM] += 1
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x5D:
            return at + 1
        if first != 0x2C:
            return np.int64(-1)
        at = after_space(body, at + 1)


@woven
def read_data(
    body: np.ndarray,
    start: Any,
    row: Any,
    shift: Any,
    frame: np.ndarray,
    tags: np.ndarray,
    field_slot: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    control: np.ndarray,
) -> Any:
    """Read the data of an event from behind its brace; return its end, -1 where the plain decoder must read."""
    at = start
    while True:
        at, listed = read_object(body, at, row, shift, np.int64(HEADS), frame, tags, field_slot, names)
        if at < 0 or listed < 0:
            return at
        at = read_items(body, listed, row, shift, item_frame, item_tags, item_slot, names, control)
        if at < 0:
            return at
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x7D:
            return at + 1
        if first != 0x2C:
            return np.int64(-1)
        at = after_space(body, at + 1)
        if byte(body, at) != 0x22:
            return np.int64(-1)


@woven
def read_line(
    body: np.ndarray,
    start: Any,
    stop: Any,
    row: Any,
    text: np.ndarray,
    frame: np.ndarray,
    codes: np.ndarray,
    tags: np.ndarray,
    field_slot: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    literals: np.ndarray,
    shop: np.ndarray,
    control: np.ndarray,
) -> Any:
    """Read one line into a row; return False where the plain decoder must read it."""
    used = control[USED]
    shift = used - start
    at = after_space(body, start)
    if byte(body, at) != 0x7B:
        return False
    id_at, id_length, source_at, source_length = np.int64(0), np.int64(-1), np.int64(0), np.int64(-1)
    kind, time, shop_seen, subject = np.int64(-1), np.int64(-1), False, U(0)
    at = after_space(body, at + 1)
    while True:
        if byte(body, at) != 0x22:
            return False
        name = at + 1
        end = string_end(body, name)
        if end < 0:
            return False
        end = end >> 1
        number = name_at(names, ATTRIBUTES, body, name, end - name)
        at = after_colon(body, end + 1)
        if at < 0:
            return False
        if number == A_DATA:
            if byte(body, at) != 0x7B:
                return False
            at = read_data(
                body,
                at + 1,
                row,
                shift,
                frame,
                tags,
                field_slot,
                item_frame,
                item_tags,
                item_slot,
                names,
                control,
            )
            if at < 0:
                return False
        else:
            value = at + 1
            at, tag, cell = scalar_at(body, at, shift)
            if at < 0:
                return False
            length = at - 1 - value
            if number == A_TIME:
                if tag != INT:
                    return False
                time = np.int64(cell)
            elif tag != TEXT:
                return False
            elif number == A_ID:
                id_at, id_length = value, length
                frame[H_ID, row] = cell
            elif number == A_SOURCE:
                source_at, source_length = value, length
                frame[H_SOURCE, row] = cell
            elif number == A_TYPE:
                kind = name_at(names, TYPES, body, value, length)
            elif number == A_SUBJECT:
                subject = cell
            elif number == A_SHOP and same_text(body, value, length, shop, control[SHOP_BYTES]):
                shop_seen = True
            else:
                return False
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x7D:
            at = after_space(body, at + 1)
            break
        if first != 0x2C:
            return False
        at = after_space(body, at + 1)
    if at != stop or kind < 0 or time < 0 or id_length < 0 or source_length < 0 or not shop_seen:
        return False
    out = copied(text, used, body, start, stop - start)
    both = copied(text, out, body, source_at, source_length)
    both = copied(text, both, literals, L_BETWEEN * LITERAL, N_BETWEEN)
    both = copied(text, both, body, id_at, id_length)
    frame[H_IDENTITY, row] = sip_padded(text, out, both - out, U(control[K0]), U(control[K1]))
    frame[H_TIME, row] = U(time)
    frame[H_SUBJECT, row] = subject
    frame[H_LINE, row] = span(used, out - used)
    codes[0, row] = kind
    codes[1, row] = control[SHOP]
    control[USED] = out
    return True


@uncounted
def read_block(
    body: np.ndarray,
    text: np.ndarray,
    frame: np.ndarray,
    codes: np.ndarray,
    tags: np.ndarray,
    field_slot: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    literals: np.ndarray,
    shop: np.ndarray,
    slow: np.ndarray,
    control: np.ndarray,
) -> None:
    """Read lines until the block ends or the chunk is full; ``slow`` int64 [n, 4] are (row, start, length, 0)."""
    end = control[END]
    while control[AT] < end:
        start = control[AT]
        stop = line_end(body, start, end)
        length = stop - start
        row, item = control[ROW], control[ITEM]
        room = control[USED] + length + SPARE <= control[ROOM] and item + length // SHORTEST_ITEM < control[ITEMS]
        if row >= control[ROWS] or (length <= LONGEST_LINE and not room):
            control[FULL] = 1
            return
        if length > LONGEST_LINE or not read_line(
            body,
            start,
            stop,
            row,
            text,
            frame,
            codes,
            tags,
            field_slot,
            item_frame,
            item_tags,
            item_slot,
            names,
            literals,
            shop,
            control,
        ):
            control[ITEM] = item
            for slot in range(tags.shape[0]):
                tags[slot, row] = MISSING
            count = control[SLOW]
            slow[count, 0], slow[count, 1], slow[count, 2], slow[count, 3] = row, start, length, 0
            control[SLOW] += 1
        control[ROW] += 1
        control[AT] = stop + 1
