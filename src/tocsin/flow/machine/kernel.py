"""The kernel of the rule machine: one program over all rows of a batch, without the interpreter's lock.

``run`` takes jobs (a class of rules, and the rows that they look at), and goes through the rows in blocks: the inputs
of a block are gathered into registers, then rule after rule runs, each instruction over the whole block. A rule that is
false on all rows of a block is left at the first operand that says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tocsin.flow.machine import ops
from tocsin.flow.machine.columns import (
    MISSING,
    ONE,
    UNKNOWN,
    ZERO,
    U,
    add_ints,
    against,
    among,
    bare,
    between,
    brief,
    checked,
    chosen,
    connected,
    converted,
    divide_ints,
    multiply_ints,
    negate_ints,
    negated,
    nulled,
    open_rows,
    reckon,
    there,
    truths,
)
from tocsin.flow.machine.gathering import B, entered, gather, hashed, probed
from tocsin.flow.machine.peeks import peek_byte, peek_whole

NEVER = np.int64(ops.LEAST)
STATES = ops.STATES
HITS, WAITING, TOUCHED, RULES, COUNTS = range(5)
"""Places in ``tally``: how many hits, rows that wait for an input, and counts that are not 0; then how many rules there
are; then by rule and state of failure the rows, the places of those that are not 0, and the rows of all runs before;
then by rule its work."""
FRESH, AGAIN, FURTHER = range(3)
"""How ``run`` begins: a new batch, the same once more since there was no room, or the same with what it waited for."""


@bare
def fail(rule: int, state: Any, times: Any, tally: np.ndarray) -> None:
    """Count rows on which a rule came to a failure."""
    place = rule * STATES + state
    if tally[U(COUNTS + place)] == 0:
        tally[U(COUNTS + tally[U(RULES)] * STATES + tally[U(TOUCHED)])] = place
        tally[U(TOUCHED)] += 1
    tally[U(COUNTS + place)] += times


@bare
def emit(
    c: np.ndarray,
    at: Any,
    rule: int,
    rows: np.ndarray,
    first: int,
    m: int,
    hits: np.ndarray,
    waiting: np.ndarray,
    tally: np.ndarray,
) -> None:
    """Give out what a rule came to on the rows of a block; most failures are of a missing value."""
    absent, other = U(0), U(0)
    for i in range(m):
        state = c[at + U(i)]
        absent += U(state == MISSING)
        other += U((state != ZERO) & (state != MISSING))
    if absent:
        fail(rule, np.int64(MISSING), np.int64(absent), tally)
    if other == U(0):
        return
    for i in range(m):
        state = c[at + U(i)]
        if state in (ZERO, MISSING):
            continue
        if state == ONE:
            n = tally[U(HITS)]
            if n < len(hits):
                hits[U(n)] = rule << 32 | rows[U(first + i)]
            tally[U(HITS)] = n + 1
        elif state == UNKNOWN:
            n = tally[U(WAITING)]
            if n < len(waiting):
                waiting[U(n)] = rule << 32 | rows[U(first + i)]
            tally[U(WAITING)] = n + 1
        else:
            fail(rule, np.int64(state), np.int64(1), tally)


@bare
def atom(memory: np.ndarray, at: Any, v: np.ndarray, c: np.ndarray, a: Any, d: Any, m: int) -> None:
    """Look up a condition of texts by their entries; the answers lie as ``memory[at:]`` says."""
    data, width, column, missing = memory[at], memory[at + U(1)], memory[at + U(2)], np.uint8(memory[at + U(3)])
    for i in range(m):
        j = U(i)
        s = c[a + j]
        if s == ZERO:
            s = peek_byte(data + v[a + j] * width + column)
        elif s == MISSING:
            s = missing
        c[d + j] = s


@bare
def listed(memory: np.ndarray, at: Any, v: np.ndarray, c: np.ndarray, a: Any, tau: Any, d: Any, m: int) -> None:
    """Say which texts are on a named list at their row's tau; the list lies as ``memory[at:]`` says."""
    keys, mask, until = memory[at], memory[at + U(1)], memory[at + U(2)]
    for i in range(m):
        j = U(i)
        s = c[a + j]
        if s == ZERO:
            found = probed(keys, mask, v[a + j])
            limit = NEVER if found < 0 else peek_whole(until + found * 8)
            s = np.uint8(limit > v[tau + j])
        c[d + j] = s


@bare
def put_aside(how: int, tally: np.ndarray) -> None:
    """Put the counts of the last run aside, or drop them."""
    if how != FURTHER:
        size = tally[U(RULES)] * STATES
        for i in range(tally[U(TOUCHED)]):
            place = tally[U(COUNTS + size + i)]
            if how == FRESH:
                tally[U(COUNTS + 2 * size + place)] += tally[U(COUNTS + place)]
            tally[U(COUNTS + place)] = 0
        tally[U(HITS)] = 0
        tally[U(TOUCHED)] = 0
    tally[U(WAITING)] = 0


@bare
def run(
    how: int,
    jobs: np.ndarray,
    count: int,
    rows: np.ndarray,
    places: np.ndarray,
    text: np.ndarray,
    columns: int,
    memory: np.ndarray,
    doubles: np.ndarray,
    v: np.ndarray,
    x: np.ndarray,
    c: np.ndarray,
    hits: np.ndarray,
    waiting: np.ndarray,
    tally: np.ndarray,
) -> None:
    """Run ``count`` jobs: int64 (class, first, last), the rows being ``rows[first:last]``.

    Parameters
    ----------
    how
        ``FRESH``, ``AGAIN`` or ``FURTHER``.
    places
        Row -> place in the columns of features, where these are longer than the batch.
    text
        Where the texts of cells lie, uint8.
    columns
        Where in ``memory`` it says how the inputs lie.
    memory
        The program (``link.Program``); ``doubles`` is the same read as float64.
    v, x, c
        The registers: int64, the same as float64, uint8.
    hits, waiting
        Filled with rule << 32 | row; what has no room is only counted.
    tally
        Counts, int64: see ``HITS`` and what follows.
    """
    own, classes, members, rules = memory[U(0)], memory[U(1)], memory[U(2)], memory[U(3)]
    code, constants, words, atoms, lists = memory[U(4)], memory[U(5)], memory[U(6)], memory[U(7)], memory[U(8)]
    work = COUNTS + 3 * tally[U(RULES)] * STATES
    put_aside(how, tally)
    for job in range(count):
        kind, begin, last = jobs[U(3 * job)], jobs[U(3 * job + 1)], jobs[U(3 * job + 2)]
        for first in range(begin, last, ops.BLOCK):
            m = min(last - first, np.int64(ops.BLOCK))
            for at in range(memory[U(classes + 4 * kind + 2)], memory[U(classes + 4 * kind + 3)]):
                slot = memory[U(members + at)]
                gather(memory, U(columns + 8 * slot), U(own + slot) * B, rows, first, m, places, text, v, x, c)
            for at in range(memory[U(classes + 4 * kind)], memory[U(classes + 4 * kind + 1)]):
                rule = memory[U(members + at)]
                pc, end = memory[U(rules + 3 * rule)], memory[U(rules + 3 * rule + 1)]
                steps = np.int64(0)
                quiet = False
                while pc < end:
                    ip = U(code + pc * 5)
                    op = memory[ip]
                    d, a, b = U(memory[ip + U(1)]) * B, U(memory[ip + U(2)]) * B, U(memory[ip + U(3)]) * B
                    k, e = memory[ip + U(3)], memory[ip + U(4)]
                    pc += 1
                    steps += 1
                    if op == ops.DOUBLE_CONSTANT:
                        against(x, c, a, doubles[U(constants + k)], d, m, e & 7)
                        if e >= ops.CHECKED:
                            checked(x, c, a, a, False, d, m)
                    elif op == ops.INT_CONSTANT:
                        against(v, c, a, memory[U(constants + k)], d, m, e)
                    elif op in (ops.OPEN_AND, ops.OPEN_OR):
                        if not open_rows(c, d, m, ONE if op == ops.OPEN_OR else ZERO):
                            quiet = e < 0
                            pc = end if quiet else e
                    elif op == ops.AND:
                        if not connected(c, a, b, d, m, ZERO):
                            quiet = e < 0
                            pc = end if quiet else e
                    elif op == ops.OR:
                        if not connected(c, a, b, d, m, ONE):
                            pc = e
                    elif op == ops.TEXT_WORD:
                        against(v, c, a, memory[U(words + k)], d, m, e)
                    elif op == ops.TEXT_WORDS:
                        among(v, c, a, memory, words + k, e, d, m)
                    elif op == ops.ATOM:
                        atom(memory, U(atoms + 4 * k), v, c, a, d, m)
                    elif op == ops.LISTED:
                        listed(memory, U(lists + 4 * k), v, c, a, U(e) * B, d, m)
                    elif op == ops.DOUBLES:
                        between(x, c, a, b, d, m, e & 7)
                        if e >= ops.CHECKED:
                            checked(x, c, a, b, True, d, m)
                    elif op in (ops.INTS, ops.TEXTS):
                        between(v, c, a, b, d, m, e)
                    elif op == ops.TRUTHS:
                        truths(c, a, b, d, m, e)
                    elif op == ops.NOT:
                        negated(c, a, d, m)
                    elif op == ops.HAS:
                        there(c, a, d, m, k)
                    elif op == ops.NULL:
                        nulled(c, a, d, m, k, e)
                    elif op == ops.SET:
                        for i in range(m):
                            c[d + U(i)] = np.uint8(memory[ip + U(2)])
                    elif op == ops.MOVE:
                        for i in range(m):
                            c[d + U(i)] = c[a + U(i)]
                    elif op == ops.CHOOSE:
                        chosen(v, c, a, b, U(e) * B, d, m)
                    elif op == ops.CONSTANT:
                        for i in range(m):
                            v[d + U(i)] = memory[U(constants + memory[ip + U(2)])]
                            c[d + U(i)] = ZERO
                    elif op in (ops.INT_ADD, ops.INT_SUB):
                        add_ints(v, c, a, b, d, m, 1 if op == ops.INT_ADD else -1)
                    elif op == ops.INT_MUL:
                        multiply_ints(v, c, a, b, d, m)
                    elif op in (ops.INT_DIV, ops.INT_MOD):
                        divide_ints(v, c, a, b, d, m, op == ops.INT_MOD)
                    elif op == ops.INT_NEG:
                        negate_ints(v, c, a, d, m)
                    elif op == ops.DOUBLE_NEG:
                        for i in range(m):
                            x[d + U(i)] = -x[a + U(i)]
                            c[d + U(i)] = c[a + U(i)]
                    elif op in (ops.TO_DOUBLE, ops.TO_INT):
                        converted(x, v, c, a, d, m, op == ops.TO_DOUBLE)
                    elif op == ops.INT_AMONG:
                        among(v, c, a, memory, constants + k, e, d, m)
                    elif op == ops.DOUBLE_AMONG:
                        among(x, c, a, doubles, constants + k, e, d, m)
                    else:
                        reckon(x, c, a, b, d, m, op)
                tally[U(work + rule)] += steps * m
                result = U(memory[U(rules + 3 * rule + 2)]) * B
                if not quiet:
                    emit(c, result, rule, rows, first, m, hits, waiting, tally)


@brief
def run_few(
    how: int,
    jobs: np.ndarray,
    count: int,
    rows: np.ndarray,
    places: np.ndarray,
    text: np.ndarray,
    columns: int,
    memory: np.ndarray,
    doubles: np.ndarray,
    v: np.ndarray,
    x: np.ndarray,
    c: np.ndarray,
    hits: np.ndarray,
    waiting: np.ndarray,
    tally: np.ndarray,
) -> None:
    """Run few rows as ``run`` does, and keep the interpreter's lock."""
    run(how, jobs, count, rows, places, text, columns, memory, doubles, v, x, c, hits, waiting, tally)


def warm() -> None:
    """Compile the kernels for the types that they are called with."""
    none, states = np.zeros(16, np.int64), np.zeros(1, np.uint8)
    doubles = none.view(np.float64)
    for through in (run, run_few):
        through(0, none, 0, none, none, states, 0, none, doubles, none, doubles, states, none, none, none)
    entered(0, 0, 0, none[:0].copy(), none)
    hashed(none, none[:0].copy(), 0, 0, 0, 0, states, states, none, none)
