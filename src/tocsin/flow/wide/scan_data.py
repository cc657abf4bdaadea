"""The part of the scanner's kernel that reads ``data``: every field checked by its type's plan, copied, put in a cell.

What is unchanged is copied in runs; only what the door changes is written anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.clean import clean_text
from tocsin.flow.wide.scan_bytes import after_space, byte, copied, float_bits, put_byte, same_bytes, string_end, woven
from tocsin.flow.wide.scan_tables import FIELDS, Check
from tocsin.flow.wide.scan_values import (
    DECIMAL,
    ESCAPED,
    ESCAPED_MOST,
    ESCAPES,
    ITEM,
    NOT_A_NUMBER,
    SPELLED,
    UNKNOWN_MOST,
    chosen,
    name_at,
    number_at,
    pseudonym_at,
    put_integer,
    spelled,
)
from tocsin.flow.wide.text import ASK, canonical_ip, rfc3339_micros, valid_utf8
from tocsin.flow.wide.words import load64

U = np.uint64
MISSING, INT, FLOAT, BOOL, TEXT, OTHER = 0, 1, 2, 3, 4, 5
HEADS = 8
"""Rows of a chunk's frame before the cells of the fields."""
LONGEST_KEY = 1024
LARGEST_INTEGER = 10**15
TRUE, ALSE, NULL = 0x65757274, 0x65736C61, 0x6C6C756E
# Why a line is left to the plain door.
CAUSES = (
    "fast",
    "shape",
    "text",
    "number",
    "duplicate",
    "attribute",
    "type",
    "time",
    "value",
    "masked",
    "sealed",
    "nested",
    "subject",
    "required",
    "long",
)
(
    C_FAST,
    C_SHAPE,
    C_TEXT,
    C_NUMBER,
    C_DUPLICATE,
    C_ATTRIBUTE,
    C_TYPE,
    C_TIME,
    C_VALUE,
    C_MASKED,
    C_SEALED,
    C_NESTED,
    C_SUBJECT,
    C_REQUIRED,
    C_LONG,
) = range(15)
K_OPEN, K_OPEN_MASKED, K_TEXT, K_CHOICE, K_MASKED, K_KEY, K_PERSONAL = (int(one) for one in list(Check)[:7])
K_INTEGER, K_NUMBER, K_BOOLEAN, K_CURRENCY, K_TIME, K_IP, K_ITEMS, K_ASK = (int(one) for one in list(Check)[7:])


@woven
def span(start: Any, length: Any) -> Any:
    """Return where a text lies as one word: start << 32 | length."""
    return U(start) << U(32) | U(length)


@woven
def after_colon(body: np.ndarray, at: Any) -> Any:
    """Return where a member's value begins, ``at`` being behind its name; -1 where there is no colon."""
    at = after_space(body, at)
    if byte(body, at) != 0x3A:
        return np.int64(-1)
    return after_space(body, at + 1)


@woven
def new_name(body: np.ndarray, scratch: np.ndarray, count: Any, start: Any, length: Any) -> Any:
    """Note a name that the vocabulary does not know; return False where it came before or there are too many."""
    if count == UNKNOWN_MOST:
        return False
    for place in range(count):
        if scratch[2 * place + 1] == length and same_bytes(body, scratch[2 * place], start, length):
            return False
    scratch[2 * count], scratch[2 * count + 1] = start, length
    return True


@woven
def same_text(body: np.ndarray, start: Any, length: Any, other: np.ndarray, other_length: Any) -> Any:
    """Return whether a text of the body is the one that ``other`` begins with."""
    if length != other_length:
        return False
    for at in range(length):
        if byte(body, start + at) != byte(other, at):
            return False
    return True


@woven
def is_currency(body: np.ndarray, start: Any, length: Any) -> Any:
    """Return whether a text is three capitals."""
    if length != 3:
        return False
    for at in range(3):
        one = byte(body, start + at)
        if one < 65 or one > 90:
            return False
    return True


@woven
def refused_text(body: np.ndarray, start: Any, length: Any, check: Any, number: Any, choices: np.ndarray) -> Any:
    """Return why the plain door must see a text that is kept as it is; 0 where it need not."""
    cause: Any = np.int64(C_FAST)
    if check in (K_MASKED, K_OPEN_MASKED):
        if not clean_text(body, start, length):
            cause = np.int64(C_MASKED)
    elif check == K_IP:
        if not canonical_ip(body, start, length):
            cause = np.int64(C_VALUE)
    elif check == K_KEY:
        if length > LONGEST_KEY:
            cause = np.int64(C_VALUE)
    elif check == K_CHOICE:
        if not chosen(choices, number, body, start, length):
            cause = np.int64(C_VALUE)
    elif check == K_CURRENCY:
        if not is_currency(body, start, length):
            cause = np.int64(C_VALUE)
    elif check not in (K_TEXT, K_OPEN):
        cause = np.int64(C_SEALED if check == K_ASK else C_VALUE)
    return cause


@woven
def refused_number(kind: Any, whole: Any, value: Any, check: Any, limit: Any) -> Any:
    """Return why the plain door must see a number that is kept as it is; 0 where it need not."""
    cause: Any = np.int64(C_FAST)
    if check == K_INTEGER:
        if kind == DECIMAL or whole > LARGEST_INTEGER or whole < -LARGEST_INTEGER:
            cause = np.int64(C_VALUE)
    elif check == K_NUMBER:
        amount = value if kind == DECIMAL else np.float64(whole)
        if amount > limit or amount < -limit:
            cause = np.int64(C_VALUE)
    elif check == K_TIME:
        if kind == DECIMAL or whole < 0:
            cause = np.int64(C_VALUE)
    elif check not in (K_OPEN, K_OPEN_MASKED):
        cause = np.int64(C_SEALED if check == K_ASK else C_VALUE)
    return cause


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
    states: np.ndarray,
    cache: np.ndarray,
    known: np.ndarray,
    reports: np.ndarray,
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
                        pseudonym_at(
                            body, value, length, number, text, out, states, cache, known, reports, control, scratch
                        )
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
                        pseudonym_at(
                            body, at, end - at, number, text, out, states, cache, known, reports, control, scratch
                        )
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
