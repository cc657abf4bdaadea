"""Where things stand: the rows of a chunk's frame before the cells, and the literals of a rewritten line."""

from __future__ import annotations

import numpy as np

H_TIME, H_ID, H_SOURCE, H_SUBJECT, H_IDENTITY, H_LINE, H_SEQ, H_TAU = range(8)
LONGEST_ATTRIBUTE = 512
VERSION = 0x22302E3122
"""``"1.0"`` with its quotes."""
LITERAL = 32
LITERAL_TEXTS = (
    b'{"data":{',
    b'},"id":"',
    b'","source":"',
    b'","type":"',
    b'","time":',
    b',"subject":"',
    b'"',
    b',"shop":"',
    b'"}',
    b"\x1f",
)
L_DATA, L_ID, L_SOURCE, L_TYPE, L_TIME, L_SUBJECT, L_QUOTE, L_SHOP, L_END, L_BETWEEN = range(10)
LITERALS = np.frombuffer(b"".join(text.ljust(LITERAL, b"\0") for text in LITERAL_TEXTS) + bytes(LITERAL), np.uint8)
N_DATA, N_ID, N_SOURCE, N_TYPE, N_TIME, N_SUBJECT, N_QUOTE, N_SHOP, N_END, N_BETWEEN = (
    len(text) for text in LITERAL_TEXTS
)
SPARE = 4096
"""Bytes of the text that a line may need beyond four times its own length."""
SHORTEST_ITEM = 20
LONGEST_LINE = 32_768
"""Longer lines are the plain door's."""
