"""Memory in huge pages holds what was written, before and after it was put together."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading

import numpy as np
import pytest

from tocsin.flow.wide.reserved import HUGE, gathered, lent, populated, reserved, zeros


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
