"""The part of the scanner's kernel that reads ``data``: every field checked by its type's plan, copied, put in a cell.

What is unchanged is copied in runs; only what the door changes is written anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import after_space, byte, copied, float_bits, put_byte, string_end
from tocsin.flow.wide.scan_checks import (
    ALSE,
    BOOL,
    C_DUPLICATE,
    C_FAST,
    C_MASKED,
    C_NESTED,
    C_NUMBER,
    C_REQUIRED,
    C_SEALED,
    C_SHAPE,
    C_TEXT,
    C_TIME,
    C_VALUE,
    FLOAT,
    HEADS,
    INT,
    K_ASK,
    K_BOOLEAN,
    K_CHOICE,
    K_ITEMS,
    K_KEY,
    K_MASKED,
    K_OPEN,
    K_OPEN_MASKED,
    K_PERSONAL,
    K_TIME,
    LONGEST_KEY,
    MISSING,
    NULL,
    TEXT,
    TRUE,
    after_colon,
    new_name,
    refused_number,
    refused_text,
    span,
)
from tocsin.flow.wide.scan_items import scan_items
from tocsin.flow.wide.scan_pseudonyms import pseudonym_later
from tocsin.flow.wide.scan_tables import FIELDS
from tocsin.flow.wide.scan_values import (
    DECIMAL,
    ESCAPED,
    ESCAPED_MOST,
    ESCAPES,
    NOT_A_NUMBER,
    SPELLED,
    name_at,
    number_at,
    put_integer,
    spelled,
)
from tocsin.flow.wide.text import ASK, rfc3339_micros, valid_utf8
from tocsin.flow.wide.words import load64

__all__ = ["TEXT", "scan_data"]

U = np.uint64


@woven
def scan_data(
    body: np.ndarray,
    start: Any,
    kind: Any,
    row: Any,
    out: Any,
    text: np.ndarray,
    frame: np.ndarray,
    tags: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    plan: np.ndarray,
    needed: np.ndarray,
    limits: np.ndarray,
    choices: np.ndarray,
    cache: np.ndarray,
    control: np.ndarray,
    scratch: np.ndarray,
    spare: np.ndarray,
) -> Any:
    """Read an object from behind its brace and write it from ``out`` on; return (cause, end, out)."""
    fields = plan.shape[1]
    seen0, seen1, kept0, kept1 = U(0), U(0), U(0), U(0)
    run = start
    kept = out  # where what is kept so far ends in the text
    strange = np.int64(0)
    last = False  # whether the last member is kept and still in the run
    last_end = start
    at = after_space(body, start)
    if byte(body, at) == 0x7D:
        at += 1
    else:
        while True:
            if byte(body, at) != 0x22:
                return np.int64(C_SHAPE), at, out
            member = at
            name = at + 1
            end = string_end(body, name)
            if end < 0:
                return np.int64(C_TEXT), at, out
            high, end = end & 1, end >> 1
            slot = name_at(names, FIELDS, body, name, end - name) if high == 0 else np.int64(-1)
            check, number = np.int64(K_OPEN), np.int64(0)
            if slot >= 0:
                bit = U(1) << U(slot & 63)
                if slot < 64:
                    if seen0 & bit:
                        return np.int64(C_DUPLICATE), at, out
                    seen0 |= bit
                else:
                    if seen1 & bit:
                        return np.int64(C_DUPLICATE), at, out
                    seen1 |= bit
                check = np.int64(plan[kind, slot])
                number, check = check >> 8, check & 0xFF
            else:
                if high and valid_utf8(body, name, end - name) < 0:
                    return np.int64(C_TEXT), at, out
                if not new_name(body, scratch, strange, name, end - name):
                    return np.int64(C_DUPLICATE), at, out
                strange += 1
            at = after_colon(body, end + 1)
            if at < 0:
                return np.int64(C_SHAPE), at, out
            first = byte(body, at)
            tag, cell = np.int64(MISSING), U(0)
            dropped = False
            rewritten = False
            if first == 0x22:
                value = at + 1
                end = string_end(body, value)
                if end < 0:
                    # Free text with escapes stays as it is written; its cell holds it spelled out.
                    if check > K_MASKED or check == K_CHOICE or control[ESCAPES] == ESCAPED_MOST:
                        return np.int64(C_TEXT), at, out
                    begin = control[SPELLED]
                    end, finish = spelled(body, value, spare, begin)
                    if end < 0 or valid_utf8(spare, begin, finish - begin) < 0:
                        return np.int64(C_TEXT), at, out
                    if refused_text(spare, begin, finish - begin, check, number, choices) != C_FAST:
                        return np.int64(C_MASKED), at, out
                    if 0 <= slot < fields - 1:
                        place = ESCAPED + 3 * control[ESCAPES]
                        scratch[place], scratch[place + 1], scratch[place + 2] = slot, begin, finish - begin
                        control[ESCAPES] += 1
                        control[SPELLED] = finish
                    at = end + 1
                    length = np.int64(-1)
                else:
                    high, end = end & 1, end >> 1
                    length = end - value
                    if high and valid_utf8(body, value, length) < 0:
                        return np.int64(C_TEXT), at, out
                if length < 0:
                    tag = np.int64(MISSING)
                elif check == K_PERSONAL:
                    if length > LONGEST_KEY:
                        return np.int64(C_VALUE), at, out
                    if length == 0:
                        dropped = True
                    else:
                        out = copied(text, out, body, run, value - run)
                        pseudonym_later(body, value, length, number, out, cache, control, scratch)
                        tag, cell = np.int64(TEXT), span(out, 24)
                        out += 24
                        # The closing quote stays in the next run.
                        run = end
                elif check == K_TIME:
                    micros = rfc3339_micros(body, value, length)
                    if micros == ASK or micros < 0:
                        return np.int64(C_TIME), at, out
                    out = copied(text, out, body, run, at - run)
                    out = put_integer(text, out, micros)
                    tag, cell = np.int64(INT), U(micros)
                    run = end + 1
                    rewritten = True
                else:
                    cause = refused_text(body, value, length, check, number, choices)
                    if cause != C_FAST:
                        return cause, at, out
                    if check == K_KEY and length == 0:
                        dropped = True
                    else:
                        tag, cell = np.int64(TEXT), span(value + out - run, length)
                at = end + 1
            elif first == 0x2D or (48 <= first <= 57):
                sort, end, whole, decimal = number_at(body, at)
                if sort == NOT_A_NUMBER:
                    return np.int64(C_NUMBER), at, out
                if check in (K_KEY, K_PERSONAL):
                    # A key: 4711 and "4711" are one.
                    if sort == DECIMAL:
                        return np.int64(C_VALUE), at, out
                    out = copied(text, out, body, run, at - run)
                    put_byte(text, out, 0x22)
                    out += 1
                    if check == K_KEY:
                        tag, cell = np.int64(TEXT), span(out, end - at)
                        out = copied(text, out, body, at, end - at)
                    else:
                        pseudonym_later(body, at, end - at, number, out, cache, control, scratch)
                        tag, cell = np.int64(TEXT), span(out, 24)
                        out += 24
                    put_byte(text, out, 0x22)
                    out += 1
                    run = end
                    rewritten = True
                else:
                    cause = refused_number(sort, whole, decimal, check, limits[number])
                    if cause != C_FAST:
                        return cause, at, out
                    if sort == DECIMAL:
                        tag, cell = np.int64(FLOAT), float_bits(decimal)
                    else:
                        tag, cell = np.int64(INT), U(whole)
                at = end
            elif first == 0x5B and check == K_ITEMS:
                cause, at, run, out = scan_items(
                    body,
                    at + 1,
                    row,
                    run,
                    out,
                    strange,
                    text,
                    item_frame,
                    item_tags,
                    item_slot,
                    names,
                    control,
                    scratch,
                )
                if cause != C_FAST:
                    return cause, at, out
            elif first == 0x6E and (load64(body, at) & U(0xFFFFFFFF)) == U(NULL):
                dropped = True
                at += 4
            elif check > K_OPEN_MASKED and check != K_BOOLEAN:
                return np.int64(C_SEALED if check == K_ASK else C_VALUE), at, out
            elif first == 0x74 and (load64(body, at) & U(0xFFFFFFFF)) == U(TRUE):
                tag, cell = np.int64(BOOL), U(1)
                at += 4
            elif first == 0x66 and (load64(body, at + 1) & U(0xFFFFFFFF)) == U(ALSE):
                tag, cell = np.int64(BOOL), U(0)
                at += 5
            else:
                return np.int64(C_NESTED), at, out
            value_end = at
            at = after_space(body, at)
            first = byte(body, at)
            if not dropped:
                if slot >= 0:
                    bit = U(1) << U(slot & 63)
                    if slot < 64:
                        kept0 |= bit
                    else:
                        kept1 |= bit
                    if tag != MISSING and slot < fields - 1:
                        tags[slot, row] = tag
                        frame[HEADS + slot, row] = cell
                last = not rewritten
                last_end = value_end
                kept = out + (value_end - run)
            if first == 0x2C:
                at = after_space(body, at + 1)
                if dropped:
                    out = copied(text, out, body, run, member - run)
                    run = at
                    last = False
            elif first == 0x7D:
                at += 1
                break
            else:
                return np.int64(C_SHAPE), at, out
        if last and run < last_end:
            copied(text, out, body, run, last_end - run)
        out = kept
    if (needed[kind, 0] & ~kept0) != U(0) or (needed[kind, 1] & ~kept1) != U(0):
        return np.int64(C_REQUIRED), at, out
    return np.int64(C_FAST), at, out
