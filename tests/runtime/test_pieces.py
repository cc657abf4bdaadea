"""Pieces of a log: each row is written once, and what a snapshot cuts is the log as it was, however it goes on."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.runtime.pieces import Cut, Pieces

ROWS = 8


class Written(NamedTuple):
    name: str
    rows: int
    data: tuple[int, ...]


class Ring:
    """A log of numbers that holds the last ``capacity`` rows, in a ring that it writes over."""

    def __init__(self, capacity: int = 1000) -> None:
        self.ring = np.zeros(capacity, np.int64)
        self.begin = self.end = 0

    def grow(self, count: int) -> None:
        for number in range(self.end, self.end + count):
            self.ring[number % len(self.ring)] = number
        self.end += count
        self.begin = max(self.begin, self.end - len(self.ring))

    def bounds(self) -> tuple[int, int]:
        return self.begin, self.end

    def rows(self, first: int, last: int) -> list[np.ndarray] | None:
        return [self.ring[np.arange(first, last) % len(self.ring)]] if first >= self.begin else None

    def holds(self, first: int) -> bool:
        return first >= self.begin


class Memory:
    """A shelf that counts what is written; ``during`` is called while a piece is under way."""

    def __init__(self) -> None:
        self.written: list[Written] = []
        self.full = False
        self.during = lambda: None

    def save_piece(self, name: str, blocks: list[np.ndarray]) -> Written:
        if self.full:
            raise OSError(28, "no space")
        data = np.concatenate(blocks).tolist()
        self.during()
        self.written.append(Written(name, len(data), tuple(data)))
        return self.written[-1]


def array(pieces: Pieces, shelf: Memory, cut: Cut) -> list[int]:
    """Return the rows as a snapshot would have them, and end it."""
    rest = np.concatenate(pieces.rest(cut)).tolist()
    before = [number for one in pieces.through(shelf, cut) for number in one.data]
    pieces.release()
    return before + rest


@given(st.lists(st.tuples(st.sampled_from(["grow", "go", "write", "snapshot"]), st.integers(0, 60)), max_size=40))
def test_a_snapshot_is_the_log_from_its_first_row_on_and_no_row_is_written_twice(steps: list[tuple[str, int]]) -> None:
    log, shelf = Ring(), Memory()
    pieces = Pieces("log", log, ROWS)
    for what, count in steps:
        if what == "grow":
            log.grow(count)
        elif what == "go":
            log.begin = min(log.end, log.begin + count)
        elif what == "write":
            if pieces.due():
                pieces.write(shelf)
        else:
            cut = pieces.cut()
            found = array(pieces, shelf, cut)
            assert found == list(range(cut.first, log.end))
            assert log.begin - cut.first < ROWS or cut.first == cut.end
            assert cut.end - cut.upto <= 2 * ROWS
            assert {one.name for one in shelf.written if one.data[-1] >= log.begin} <= pieces.names() | {""}
    written = [number for one in shelf.written for number in one.data]
    assert len(written) == len(set(written))
    assert all(one.rows == ROWS for one in shelf.written)


def test_a_snapshot_under_way_keeps_its_pieces_while_the_log_lets_go_of_them() -> None:
    """Begin moves past them before they are asked for; they are forgotten with the release."""
    log, shelf = Ring(), Memory()
    pieces = Pieces("log", log, ROWS)
    log.grow(50)
    pieces.due()
    pieces.write(shelf)
    cut = pieces.cut()
    rest = np.concatenate(pieces.rest(cut)).tolist()
    log.grow(50)
    log.begin = 90
    pieces.due()
    assert [n for one in pieces.through(shelf, cut) for n in one.data] + rest == list(range(50))
    assert len(pieces.names()) > 5
    pieces.release()
    pieces.due()
    assert len(pieces.names()) == 1


def test_rows_that_are_written_over_while_the_disk_takes_them_are_no_piece() -> None:
    """The snapshot fails and the next one begins anew: nothing torn is ever named."""
    log, shelf = Ring(capacity=32), Memory()
    pieces = Pieces("log", log, ROWS)
    log.grow(32)
    cut = pieces.cut()
    shelf.during = lambda: log.grow(40)
    with pytest.raises(OSError, match="left the memory"):
        pieces.through(shelf, cut)
    shelf.during = lambda: None
    pieces.release()
    cut = pieces.cut()
    assert array(pieces, shelf, cut) == list(range(log.begin, log.end))


def test_a_disk_that_refuses_fails_the_snapshot_and_not_the_next() -> None:
    """What was written before counts; the rest is written when the disk takes it."""
    log, shelf = Ring(), Memory()
    pieces = Pieces("log", log, ROWS)
    log.grow(20)
    pieces.due()
    pieces.write(shelf)
    log.grow(40)
    cut, shelf.full = pieces.cut(), True
    with pytest.raises(OSError, match="no space"):
        pieces.through(shelf, cut)
    pieces.release()
    shelf.full = False
    assert array(pieces, shelf, pieces.cut()) == list(range(60))
    assert [one.data[0] for one in shelf.written[:2]] == [0, 8]


def test_rows_that_were_taken_back_and_came_anew_are_written_anew() -> None:
    """A piece that reaches beyond the log's end holds what never was."""
    log, shelf = Ring(), Memory()
    pieces = Pieces("log", log, ROWS)
    log.grow(40)
    pieces.due()
    pieces.write(shelf)
    log.end = 20
    pieces.due()
    log.ring += 1000
    log.grow(20)
    found = array(pieces, shelf, pieces.cut())
    assert found[:16] == list(range(16))
    assert found[20:] == list(range(20, 40))
    assert found[16:20] == [1016, 1017, 1018, 1019]


def test_a_snapshot_and_the_writer_beside_it_write_each_row_once() -> None:
    """Both ask for the same rows: one waits for the other."""
    log, shelf = Ring(10_000), Memory()
    pieces = Pieces("log", log, ROWS)
    log.grow(5000)
    pieces.due()
    cut = pieces.cut()
    beside = threading.Thread(target=pieces.write, args=(shelf,))
    beside.start()
    found = array(pieces, shelf, cut)
    beside.join()
    assert found == list(range(5000))
    assert len(shelf.written) == len({one.name for one in shelf.written}) == 5000 // ROWS


def test_the_pieces_of_a_loaded_snapshot_are_gone_on_with() -> None:
    """They are named again, not written again."""
    log, shelf = Ring(), Memory()
    log.grow(40)
    pieces = Pieces("log", log, ROWS)
    pieces.adopt(0, [Written("old", 30, tuple(range(30)))])
    assert array(pieces, shelf, pieces.cut()) == list(range(40))
    assert not shelf.written
