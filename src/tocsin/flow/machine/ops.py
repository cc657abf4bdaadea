"""The instructions of the rule machine, and the states that they compute with.

A truth is one byte a row: ``FALSE``, ``TRUE``, ``FAILED + cause`` where it has no value, or ``UNKNOWN`` where it hangs
on an input that nobody has computed yet. A number is 64 bits a row beside a byte that is 0 where it has a value, else
such a state. An instruction is five integers: what it does, where its result goes, and three operands.
"""

from __future__ import annotations

from tocsin.flow.cel_columns import CODE
from tocsin.flow.cel_syntax import INT_MIN

FALSE, TRUE, FAILED, UNKNOWN = 0, 1, 1, 255
MISSING = FAILED + CODE["missing"]
OVERLOAD = FAILED + CODE["overload"]
OVERFLOW = FAILED + CODE["overflow"]
DIVISION = FAILED + CODE["division"]
NOT_A_NUMBER = FAILED + CODE["not-a-number"]
STATES = FAILED + len(CODE)
"""One more than the greatest state of a failure."""
BLOCK = 128
"""Rows that one instruction runs over: inputs and registers of a block stay in the second cache."""
LEAST = INT_MIN

EQ, NE, LT, LE, GT, GE = range(6)
COMPARE = {"==": EQ, "!=": NE, "<": LT, "<=": LE, ">": GT, ">=": GE}
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
CHECKED = 8
"""Added to a comparison of doubles whose sides may be NaN, which compares with nothing."""

(
    DOUBLE_CONSTANT,
    DOUBLES,
    INT_CONSTANT,
    INTS,
    TRUTHS,
    TEXT_WORD,
    TEXT_WORDS,
    TEXTS,
    ATOM,
    LISTED,
    AND,
    OR,
    OPEN_AND,
    OPEN_OR,
    NOT,
    HAS,
    NULL,
    SET,
    MOVE,
    CHOOSE,
    CONSTANT,
    INT_ADD,
    INT_SUB,
    INT_MUL,
    INT_DIV,
    INT_MOD,
    INT_NEG,
    DOUBLE_ADD,
    DOUBLE_SUB,
    DOUBLE_MUL,
    DOUBLE_DIV,
    DOUBLE_NEG,
    TO_DOUBLE,
    TO_INT,
    INT_AMONG,
    DOUBLE_AMONG,
) = range(36)

ENDS = -1
"""Where ``AND`` and ``OPEN_AND`` jump to once the whole rule is false on all rows."""

OPERANDS = {
    DOUBLE_CONSTANT: "rrk.",
    DOUBLES: "rrr.",
    INT_CONSTANT: "rrk.",
    INTS: "rrr.",
    TRUTHS: "rrr.",
    TEXT_WORD: "rrw.",
    TEXT_WORDS: "rrw.",
    TEXTS: "rrr.",
    ATOM: "rra.",
    LISTED: "rrlr",
    AND: "rrrj",
    OR: "rrrj",
    OPEN_AND: "r..j",
    OPEN_OR: "r..j",
    NOT: "rr..",
    HAS: "rr..",
    NULL: "rr..",
    SET: "r...",
    MOVE: "rr..",
    CHOOSE: "rrrr",
    CONSTANT: "rk..",
    INT_NEG: "rr..",
    DOUBLE_NEG: "rr..",
    TO_DOUBLE: "rr..",
    TO_INT: "rr..",
    INT_AMONG: "rrk.",
    DOUBLE_AMONG: "rrk.",
    **dict.fromkeys((INT_ADD, INT_SUB, INT_MUL, INT_DIV, INT_MOD), "rrr."),
    **dict.fromkeys((DOUBLE_ADD, DOUBLE_SUB, DOUBLE_MUL, DOUBLE_DIV), "rrr."),
}
"""What the operands of an instruction are: register, constant, word, atom, list, jump within the rule, or plain."""

VALUE, BYTE, ENTRY, CELL_INT, CELL_DOUBLE, CELL_TRUTH, CELL_TEXT = range(7)
"""How an input lies in memory: eight bytes a row, one byte that is its truth, a text's row of answers (or ``STRANGE``,
or ``NO_TEXT``), or as tagged cells of scanned lines (``flow.wide.lines``) that are read as a number, a truth or the
hash of a text."""
STRANGE, NO_TEXT = -1, -2
WHOLE, FLAGGED, STATED, MASKED, NANS = range(5)
"""Where an input's missing rows are told: nowhere, by a byte that is not 0, by its state, by a bit, or by NaN."""
