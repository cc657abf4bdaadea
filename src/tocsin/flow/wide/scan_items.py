"""The part of the scanner's kernel that reads the items of an order: a row of cells for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import after_space, byte, copied, put_byte, string_end
from tocsin.flow.wide.scan_checks import (
    ALSE,
    C_DUPLICATE,
    C_FAST,
    C_NESTED,
    C_NUMBER,
    C_REQUIRED,
    C_SHAPE,
    C_TEXT,
    C_VALUE,
    INT,
    LARGEST_INTEGER,
    LONGEST_KEY,
    MISSING,
    TEXT,
    TRUE,
    after_colon,
    new_name,
    span,
)
from tocsin.flow.wide.scan_tables import FIELDS
from tocsin.flow.wide.scan_values import DECIMAL, ITEM, NOT_A_NUMBER, name_at, number_at
from tocsin.flow.wide.text import valid_utf8
from tocsin.flow.wide.words import load64

U = np.uint64


@woven
def scan_items(
    body: np.ndarray,
    start: Any,
    row: Any,
    run: Any,
    out: Any,
    count: Any,
    text: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    control: np.ndarray,
    scratch: np.ndarray,
) -> Any:
    """Read a list of items from behind its bracket; return (cause, end, run, out)."""
    at = after_space(body, start)
    if byte(body, at) == 0x5D:
        return np.int64(C_FAST), at + 1, run, out
    while True:
        if byte(body, at) != 0x7B:
            return np.int64(C_NESTED), at, run, out
        item = control[ITEM]
        item_frame[0, item] = U(row)
        for place in range(4):
            item_tags[place, item] = MISSING
        seen = np.int64(0)
        strange = count
        at = after_space(body, at + 1)
        while True:
            if byte(body, at) != 0x22:
                return np.int64(C_SHAPE), at, run, out
            name = at + 1
            end = string_end(body, name)
            if end < 0:
                return np.int64(C_TEXT), at, run, out
            high, end = end & 1, end >> 1
            number = name_at(names, FIELDS, body, name, end - name) if high == 0 else np.int64(-1)
            slot = item_slot[number] if number >= 0 else np.int64(-1)
            if slot < 0:
                if high and valid_utf8(body, name, end - name) < 0:
                    return np.int64(C_TEXT), at, run, out
                if not new_name(body, scratch, strange, name, end - name):
                    return np.int64(C_DUPLICATE), at, run, out
                strange += 1
            elif (seen >> slot) & 1:
                return np.int64(C_DUPLICATE), at, run, out
            else:
                seen |= 1 << slot
            at = after_colon(body, end + 1)
            if at < 0:
                return np.int64(C_SHAPE), at, run, out
            first = byte(body, at)
            if first == 0x22:
                value = at + 1
                end = string_end(body, value)
                if end < 0:
                    return np.int64(C_TEXT), at, run, out
                high, end = end & 1, end >> 1
                length = end - value
                if high and valid_utf8(body, value, length) < 0:
                    return np.int64(C_TEXT), at, run, out
                if slot in (1, 2) or (slot == 0 and (length == 0 or length > LONGEST_KEY)):
                    return np.int64(C_VALUE), at, run, out
                if slot >= 0:
                    item_tags[slot, item] = TEXT
                    item_frame[1 + slot, item] = span(value + out - run, length)
                at = end + 1
            elif first == 0x2D or (48 <= first <= 57):
                kind, end, whole, _ = number_at(body, at)
                if kind == NOT_A_NUMBER:
                    return np.int64(C_NUMBER), at, run, out
                if slot == 0:
                    # A key: 4711 and "4711" are one.
                    if kind == DECIMAL:
                        return np.int64(C_VALUE), at, run, out
                    out = copied(text, out, body, run, at - run)
                    put_byte(text, out, 0x22)
                    item_tags[0, item] = TEXT
                    item_frame[1, item] = span(out + 1, end - at)
                    out = copied(text, out + 1, body, at, end - at)
                    put_byte(text, out, 0x22)
                    out += 1
                    run = end
                elif slot in (1, 2):
                    low = np.int64(0) if slot == 1 else np.int64(-LARGEST_INTEGER)
                    if kind == DECIMAL or whole > LARGEST_INTEGER or whole < low:
                        return np.int64(C_VALUE), at, run, out
                    item_tags[slot, item] = INT
                    item_frame[1 + slot, item] = U(whole)
                elif slot == 3:
                    return np.int64(C_VALUE), at, run, out
                at = end
            elif slot < 0 and (load64(body, at) & U(0xFFFFFFFF)) == U(TRUE):
                at += 4
            elif slot < 0 and first == 0x66 and (load64(body, at + 1) & U(0xFFFFFFFF)) == U(ALSE):
                at += 5
            else:
                return np.int64(C_NESTED), at, run, out
            at = after_space(body, at)
            first = byte(body, at)
            if first == 0x2C:
                at = after_space(body, at + 1)
            elif first == 0x7D:
                at += 1
                break
            else:
                return np.int64(C_SHAPE), at, run, out
        if seen & 3 != 3:
            return np.int64(C_REQUIRED), at, run, out
        control[ITEM] += 1
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x2C:
            at = after_space(body, at + 1)
        elif first == 0x5D:
            return np.int64(C_FAST), at + 1, run, out
        else:
            return np.int64(C_SHAPE), at, run, out
