"""The scanner's kernel: a body of NDJSON, line by line, into the rows of a chunk."""

from __future__ import annotations

import numpy as np

from tocsin.flow.wide.jit import brief
from tocsin.flow.wide.scan_bytes import byte, line_end, uncounted
from tocsin.flow.wide.scan_checks import (
    C_FAST,
    C_LONG,
)
from tocsin.flow.wide.scan_layout import SHORTEST_ITEM, SPARE
from tocsin.flow.wide.scan_line import scan_line
from tocsin.flow.wide.scan_pseudonyms import LINE_MOST, QUEUE_MOST, make_pseudonyms
from tocsin.flow.wide.scan_values import (
    AT,
    END,
    ESCAPES,
    FULL,
    ITEM,
    ITEMS,
    KNOWN,
    LONGEST,
    PENDING,
    REPORTS,
    ROOM,
    ROW,
    ROWS,
    SLOW,
    SPELLED,
    USED,
)


@uncounted
def scan_body(
    body: np.ndarray,
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
    states: np.ndarray,
    cache: np.ndarray,
    known: np.ndarray,
    reports: np.ndarray,
    slow: np.ndarray,
    control: np.ndarray,
    scratch: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Read lines until the body ends or the chunk has no room for the next one; ``control`` says how far it came.

    A line that is left to the plain door keeps its row; ``slow`` int64 [n, 4] names (row, start, length, cause).
    """
    end = control[END]
    room = len(known) * 3 // 5
    while control[AT] < end:
        start = control[AT]
        stop = line_end(body, start, end)
        at = start
        while at < stop:
            one = byte(body, at)
            if one != 0x20 and (one < 0x09 or one > 0x0D):
                break
            at += 1
        if at == stop:
            control[AT] = stop + 1
            continue
        length = stop - start
        row = control[ROW]
        if row >= control[ROWS]:
            control[FULL] = 1
            break
        if control[PENDING] + LINE_MOST > QUEUE_MOST:
            make_pseudonyms(body, text, states, cache, known, reports, control, scratch)
        coming = control[PENDING] + LINE_MOST
        if control[REPORTS] + coming > len(reports) or control[KNOWN] + coming > room:
            break
        cause = np.int64(C_LONG)
        if length <= control[LONGEST]:
            item = control[ITEM]
            if (
                control[USED] + 4 * length + SPARE > control[ROOM]
                or item + length // SHORTEST_ITEM + 1 > control[ITEMS]
            ):
                control[FULL] = 1
                break
            pending = control[PENDING]
            control[ESCAPES] = control[SPELLED] = 0
            cause = scan_line(
                body,
                start,
                stop,
                row,
                text,
                frame,
                codes,
                tags,
                item_frame,
                item_tags,
                item_slot,
                names,
                plan,
                needed,
                limits,
                choices,
                literals,
                shop,
                cache,
                control,
                scratch,
                spare,
            )
            if cause != C_FAST:
                control[ITEM], control[PENDING] = item, pending
                for slot in range(tags.shape[0]):
                    tags[slot, row] = 0
        if cause != C_FAST:
            count = control[SLOW]
            slow[count, 0], slow[count, 1], slow[count, 2], slow[count, 3] = row, start, length, cause
            control[SLOW] += 1
        control[ROW] += 1
        control[AT] = stop + 1
    make_pseudonyms(body, text, states, cache, known, reports, control, scratch)


@brief
def scan_few(
    body: np.ndarray,
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
    states: np.ndarray,
    cache: np.ndarray,
    known: np.ndarray,
    reports: np.ndarray,
    slow: np.ndarray,
    control: np.ndarray,
    scratch: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Read a short body as ``scan_body`` does, and keep the interpreter's lock."""
    scan_body(
        body, text, frame, codes, tags, item_frame, item_tags, item_slot, names, plan, needed, limits, choices,
        literals, shop, states, cache, known, reports, slow, control, scratch, spare,
    )  # fmt: skip
