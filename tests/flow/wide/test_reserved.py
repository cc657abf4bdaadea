"""Memory in huge pages holds what was written, before and after it was put together."""

from __future__ import annotations

import os
import threading

import numpy as np

from tocsin.flow.wide.reserved import HUGE, gathered, reserved


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
