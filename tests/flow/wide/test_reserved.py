"""Memory in huge pages holds what was written, before and after it was put together."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tocsin.flow.wide.reserved import HUGE, SPACE, Rooms, gathered, lent, populated, reserved, unshared, zeros


def test_reserved_memory_is_zeros_of_the_shape_that_was_asked_for() -> None:
    """Gigabytes cost nothing until they are written."""
    found = reserved([1 << 28, 2], np.uint64)
    assert (found.shape, found.dtype) == ((1 << 28, 2), np.uint64)
    found[-1] = 7
    assert found[0].tolist() == [0, 0]
    assert found[-1].tolist() == [7, 7]


def test_gathered_arrays_hold_what_they_held_while_another_thread_writes() -> None:
    """Small arrays side by side, large ones, an empty one; a fork has split their pages before."""
    arrays = [np.full(size, number) for number, size in enumerate([140_000] * 40 + [3_000_000, 0, 5])]
    counted = arrays[40]
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[:] += 1

    beside = threading.Thread(target=count)
    beside.start()
    taken = gathered(arrays)
    done.set()
    beside.join()
    assert taken % HUGE == 0
    assert (counted == counted[0]).all()
    for number, array in enumerate(arrays):
        assert number == 40 or (array == number).all()


def _forked(part: np.ndarray) -> int:
    """Return how a child ends that reads an array: 0 where it finds sevens."""
    if (child := os.fork()) == 0:
        faulthandler.disable()
        os._exit(0 if (part == 7).all() else 1)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child sees all memory")
def test_a_child_sees_of_reserved_memory_what_it_is_lent_and_nothing_of_it_afterwards() -> None:
    """Rows inside an array, neither at its begin nor at a page's; what this process writes later a child never sees."""
    space = reserved([1 << 16, 10], np.int64)
    space[:] = 7
    part = space[30_001:50_003]
    with lent([part, space[:0]]):
        assert _forked(part) == 0
    assert os.WTERMSIG(_forked(part)) == signal.SIGSEGV
    space[:] = 8
    assert (part == 8).all()


def test_only_large_zeros_are_kept_from_a_child_and_only_where_that_is_said() -> None:
    """A small array costs no huge page."""
    small, large, seen = zeros([1024], forked=False), zeros([HUGE], forked=False), zeros([HUGE, 2], forked=True)
    assert (small.shape, large.shape, seen.shape) == ((1024,), (HUGE,), (HUGE, 2))
    assert not small.any()
    assert large[[0, -1]].tolist() == [0, 0]
    small[:] = seen[-1] = 7
    assert _forked(small) == 0
    assert _forked(seen[-1]) == 0


def test_populated_zeros_stay_zeros_and_what_was_written() -> None:
    """The memory is there before it is asked for; twice is as once."""
    found = zeros([HUGE], forked=False)
    found[5] = 7
    populated(found)
    populated(found)
    assert found[5] == 7
    assert found.sum() == 7


def _shared_kb(array: np.ndarray) -> int:
    """Return how much of the mapping of an array, and of what lies beside it, this process shares with others."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            begin, end = (int(part, 16) for part in first.split("-"))
            inside = begin <= array.ctypes.data < end
        elif inside and first in ("Shared_Clean:", "Shared_Dirty:"):
            found += int(rest.split()[0])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child shares until it writes")
def test_a_child_that_shares_nothing_has_what_its_parent_had() -> None:
    """Whole arrays and one that begins and ends inside a page; what its parent writes then is no part of it."""
    space = reserved([3 * HUGE // 8 + 512, 2], np.int64, forked=True)
    space[:, 0] = np.arange(len(space))
    inside = reserved([HUGE], np.int64, forked=True)
    inside[:] = 7
    (heard, told), (given, giving) = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        before = _shared_kb(space)
        unshared([space, inside[3:-5], space[:0]])
        own = before - _shared_kb(space) >= space.nbytes >> 10
        os.write(told, b"x")
        os.read(given, 1)
        right = (space[:, 0] == np.arange(len(space))).all() and not space[:, 1].any() and (inside == 7).all()
        os._exit(0 if right and own else 1)
    os.close(told)
    os.read(heard, 1)
    space[:] = 9
    inside[:] = 9
    os.write(giving, b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in (heard, given, giving):
        os.close(end)
    assert (space == 9).all()
    assert (inside == 9).all()


def test_rooms_overlap_nowhere_and_begin_at_cache_lines() -> None:
    """Over the end of a space another one is begun; what is taken is what is used."""
    rooms = Rooms()
    sizes = [5, SPACE // 2, 8, SPACE // 2 - 16, 3, SPACE]
    taken = [rooms.take(size) for size in sizes]
    for number, one in enumerate(taken):
        assert one.ctypes.data % 64 == 0
        one[[0, -1]] = number + 1
    assert [len(one) for one in taken] == sizes
    assert [one[[0, -1]].tolist() for one in taken] == [[number + 1] * 2 for number in range(len(sizes))]
    assert sum(int(np.count_nonzero(one)) for one in rooms.used()) == 2 * len(sizes)
    with pytest.raises(ValueError, match="larger than a space"):
        rooms.take(SPACE + 1)
