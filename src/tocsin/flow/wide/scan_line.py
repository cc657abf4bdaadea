"""The part of the scanner's kernel that reads one line: the attributes of an event, in whatever order they come."""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.wide.clean import clean_text
from tocsin.flow.wide.jit import woven
from tocsin.flow.wide.scan_bytes import after_space, byte, copied, string_end
from tocsin.flow.wide.scan_checks import (
    C_ATTRIBUTE,
    C_DUPLICATE,
    C_FAST,
    C_NESTED,
    C_NUMBER,
    C_SHAPE,
    C_SUBJECT,
    C_TEXT,
    C_TIME,
    C_TYPE,
    HEADS,
    NULL,
    TEXT,
    after_colon,
    same_text,
    span,
)
from tocsin.flow.wide.scan_data import scan_data
from tocsin.flow.wide.scan_layout import (
    H_ID,
    H_IDENTITY,
    H_LINE,
    H_SOURCE,
    H_SUBJECT,
    H_TIME,
    L_BETWEEN,
    L_DATA,
    L_END,
    L_ID,
    L_QUOTE,
    L_SHOP,
    L_SOURCE,
    L_SUBJECT,
    L_TIME,
    L_TYPE,
    LITERAL,
    LONGEST_ATTRIBUTE,
    N_BETWEEN,
    N_DATA,
    N_END,
    N_ID,
    N_QUOTE,
    N_SHOP,
    N_SOURCE,
    N_SUBJECT,
    N_TIME,
    N_TYPE,
    VERSION,
)
from tocsin.flow.wide.scan_pseudonyms import pseudonym_later
from tocsin.flow.wide.scan_tables import (
    A_BASE64,
    A_DATA,
    A_ID,
    A_SHOP,
    A_SOURCE,
    A_SPEC,
    A_SUBJECT,
    A_TIME,
    A_TYPE,
    ATTRIBUTES,
    SUBJECTS,
    TYPES,
)
from tocsin.flow.wide.scan_values import (
    DECIMAL,
    ESCAPED,
    ESCAPES,
    K0,
    K1,
    NEWEST,
    NOT_A_NUMBER,
    NOW,
    OLDEST,
    SHOP,
    SHOP_BYTES,
    TIMELESS,
    USED,
    name_at,
    number_at,
    put_integer,
)
from tocsin.flow.wide.sip import sip_padded
from tocsin.flow.wide.text import ASK, rfc3339_micros, valid_utf8
from tocsin.flow.wide.words import load64

U = np.uint64


@woven
def skipped(body: np.ndarray, start: Any, end: Any) -> Any:
    """Return the end of the object whose brace stands before ``start``; -1 where it does not end or has odd texts."""
    depth = 1
    at = start
    while at < end:
        one = byte(body, at)
        if one == 0x22:
            stop = string_end(body, at + 1)
            if stop < 0:
                return np.int64(-1)
            at = stop >> 1
        elif one in (0x7B, 0x5B):
            depth += 1
        elif one in (0x7D, 0x5D):
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return np.int64(-1)


@woven
def scan_line(
    body: np.ndarray,
    start: Any,
    stop: Any,
    row: Any,
    text: np.ndarray,
    frame: np.ndarray,
    codes: np.ndarray,
    tags: np.ndarray,
    item_frame: np.ndarray,
    item_tags: np.ndarray,
    item_slot: np.ndarray,
    names: np.ndarray,
    plan: np.ndarray,
    needed: np.ndarray,
    limits: np.ndarray,
    choices: np.ndarray,
    literals: np.ndarray,
    shop: np.ndarray,
    cache: np.ndarray,
    control: np.ndarray,
    scratch: np.ndarray,
    spare: np.ndarray,
) -> Any:
    """Read one line into a row; return 0, or why the plain door must read it."""
    at = after_space(body, start)
    if byte(body, at) != 0x7B:
        return np.int64(C_SHAPE)
    used = control[USED]
    out = copied(text, used, literals, L_DATA * LITERAL, N_DATA)
    seen = np.int64(0)
    id_at, id_length, source_at, source_length = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    type_at, type_length, subject_at, subject_length = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    kind, time, data_at, data_done = np.int64(-1), np.int64(ASK), np.int64(-1), False
    at = after_space(body, at + 1)
    while True:
        if byte(body, at) != 0x22:
            return np.int64(C_SHAPE)
        name = at + 1
        end = string_end(body, name)
        if end < 0:
            return np.int64(C_TEXT)
        high, end = end & 1, end >> 1
        number = name_at(names, ATTRIBUTES, body, name, end - name) if high == 0 else np.int64(-1)
        if number >= 0:
            if (seen >> number) & 1:
                return np.int64(C_DUPLICATE)
            seen |= np.int64(1) << number
        elif high and valid_utf8(body, name, end - name) < 0:
            return np.int64(C_TEXT)
        at = after_colon(body, end + 1)
        if at < 0:
            return np.int64(C_SHAPE)
        first = byte(body, at)
        if first == 0x22:
            value = at + 1
            end = string_end(body, value)
            if end < 0:
                return np.int64(C_TEXT)
            high, end = end & 1, end >> 1
            length = end - value
            if high and valid_utf8(body, value, length) < 0:
                return np.int64(C_TEXT)
            at = end + 1
            if number in (A_ID, A_SOURCE):
                if length == 0 or length > LONGEST_ATTRIBUTE:
                    return np.int64(C_ATTRIBUTE)
                if number == A_ID:
                    id_at, id_length = value, length
                else:
                    source_at, source_length = value, length
            elif number == A_TYPE:
                type_at, type_length = value, length
                kind = name_at(names, TYPES, body, value, length)
                if kind < 0:
                    return np.int64(C_TYPE)
            elif number == A_TIME:
                time = rfc3339_micros(body, value, length)
                if time < 0:
                    return np.int64(C_TIME)
            elif number == A_SUBJECT:
                if length > 2 * LONGEST_ATTRIBUTE:
                    return np.int64(C_ATTRIBUTE)
                subject_at, subject_length = value, length
            elif number == A_SHOP:
                if length > 0 and not same_text(body, value, length, shop, control[SHOP_BYTES]):
                    return np.int64(C_ATTRIBUTE)
            elif number == A_SPEC:
                if length != 3 or (load64(body, value - 1) & U(0xFFFFFFFFFF)) != U(VERSION):
                    return np.int64(C_ATTRIBUTE)
            elif number in (A_DATA, A_BASE64):
                return np.int64(C_ATTRIBUTE)
        elif first == 0x7B and number == A_DATA:
            if kind >= 0:
                cause, at, out = scan_data(
                    body,
                    at + 1,
                    kind,
                    row,
                    out,
                    text,
                    frame,
                    tags,
                    item_frame,
                    item_tags,
                    item_slot,
                    names,
                    plan,
                    needed,
                    limits,
                    choices,
                    cache,
                    control,
                    scratch,
                    spare,
                )
                if cause != C_FAST:
                    return cause
                data_done = True
            else:
                data_at = at + 1
                at = skipped(body, at + 1, stop)
                if at < 0:
                    return np.int64(C_TEXT)
        elif first == 0x2D or (48 <= first <= 57):
            sort, at, whole, _ = number_at(body, at)
            if sort == NOT_A_NUMBER:
                return np.int64(C_NUMBER)
            if number == A_TIME:
                if sort == DECIMAL or whole < 0:
                    return np.int64(C_TIME)
                time = whole
            elif number >= 0:
                return np.int64(C_ATTRIBUTE)
        elif first == 0x6E and (load64(body, at) & U(0xFFFFFFFF)) == U(NULL):
            if number == A_BASE64:
                return np.int64(C_ATTRIBUTE)
            at += 4
        elif number >= 0:
            return np.int64(C_ATTRIBUTE)
        elif first == 0x74 and (load64(body, at) & U(0xFFFFFFFF)) == U(0x65757274):
            at += 4
        elif first == 0x66 and (load64(body, at + 1) & U(0xFFFFFFFF)) == U(0x65736C61):
            at += 5
        else:
            return np.int64(C_NESTED)
        at = after_space(body, at)
        first = byte(body, at)
        if first == 0x2C:
            at = after_space(body, at + 1)
        elif first == 0x7D:
            at = after_space(body, at + 1)
            break
        else:
            return np.int64(C_SHAPE)
    if at != stop:
        return np.int64(C_SHAPE)
    if id_length == 0 or source_length == 0 or kind < 0:
        return np.int64(C_ATTRIBUTE)
    if time == ASK:
        # The door's clock stands in for a time that is not there; file doors refuse it.
        if control[TIMELESS] == 0:
            return np.int64(C_TIME)
        time = control[NOW]
    elif time < control[OLDEST] or time > control[NEWEST]:
        return np.int64(C_TIME)
    if not data_done:
        if data_at >= 0:
            cause, at, out = scan_data(
                body,
                data_at,
                kind,
                row,
                out,
                text,
                frame,
                tags,
                item_frame,
                item_tags,
                item_slot,
                names,
                plan,
                needed,
                limits,
                choices,
                cache,
                control,
                scratch,
                spare,
            )
            if cause != C_FAST:
                return cause
        elif needed[kind, 0] != U(0) or needed[kind, 1] != U(0):
            return np.int64(C_ATTRIBUTE)
    out = copied(text, out, literals, L_ID * LITERAL, N_ID)
    frame[H_ID, row] = span(out, id_length)
    out = copied(text, out, body, id_at, id_length)
    out = copied(text, out, literals, L_SOURCE * LITERAL, N_SOURCE)
    frame[H_SOURCE, row] = span(out, source_length)
    out = copied(text, out, body, source_at, source_length)
    out = copied(text, out, literals, L_TYPE * LITERAL, N_TYPE)
    out = copied(text, out, body, type_at, type_length)
    out = copied(text, out, literals, L_TIME * LITERAL, N_TIME)
    out = put_integer(text, out, time)
    subject = U(0)
    if subject_length > 0:
        colon = subject_at
        subject_end = subject_at + subject_length
        while colon < subject_end and byte(body, colon) != 0x3A:
            colon += 1
        if colon + 1 >= subject_end:
            return np.int64(C_SUBJECT)
        about = name_at(names, SUBJECTS, body, subject_at, colon - subject_at)
        if about < 0 or (about == 9 and not clean_text(body, subject_at, subject_length)):
            return np.int64(C_SUBJECT)
        out = copied(text, out, literals, L_SUBJECT * LITERAL, N_SUBJECT)
        begin = out
        if about >= 8:
            out = copied(text, out, body, subject_at, subject_length)
        else:
            out = copied(text, out, body, subject_at, colon + 1 - subject_at)
            length = subject_end - colon - 1
            pseudonym_later(body, colon + 1, length, about, out, cache, control, scratch)
            out += 24
        subject = span(begin, out - begin)
        out = copied(text, out, literals, L_QUOTE * LITERAL, N_QUOTE)
    out = copied(text, out, literals, L_SHOP * LITERAL, N_SHOP)
    out = copied(text, out, shop, 0, control[SHOP_BYTES])
    out = copied(text, out, literals, L_END * LITERAL, N_END)
    # Behind the line there is room to lay source and id side by side.
    both = copied(text, out, body, source_at, source_length)
    both = copied(text, both, literals, L_BETWEEN * LITERAL, N_BETWEEN)
    both = copied(text, both, body, id_at, id_length)
    frame[H_IDENTITY, row] = sip_padded(text, out, both - out, U(control[K0]), U(control[K1]))
    frame[H_TIME, row] = U(time)
    frame[H_SUBJECT, row] = subject
    frame[H_LINE, row] = span(used, out - used)
    codes[0, row] = kind
    codes[1, row] = control[SHOP]
    for number in range(control[ESCAPES]):
        place = ESCAPED + 3 * number
        tags[scratch[place], row] = TEXT
        frame[HEADS + scratch[place], row] = span(out, scratch[place + 2])
        out = copied(text, out, spare, scratch[place + 1], scratch[place + 2])
    control[USED] = out
    return np.int64(C_FAST)
