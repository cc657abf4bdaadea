"""The store of snapshots: what is whole is found, what is not is passed over, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tocsin.ledger import snapshot_file
from tocsin.ledger.disk import Disk
from tocsin.ledger.snapshots import SnapshotStore

ARRAYS = {
    "a/rows": np.arange(24, dtype=np.int64).reshape(4, 6),
    "a/bits": np.array([1, 0, 255], np.uint8),
    "empty": np.empty((0, 3), np.float64),
}


def put(store: SnapshotStore, seq: int, **meta: object) -> Path:
    return store.publish(store.save(seq, 10 * seq, meta or {"n": seq}, ARRAYS))


def test_what_is_read_is_what_was_saved(tmp_path: Path) -> None:
    """Seq, tau, plain values with whole-number keys and 64 bits, and arrays of every shape come back."""
    store = SnapshotStore(tmp_path)
    put(store, 7, deep={"list": [1, "zwei", None, 1.5], "by": {3: 1 << 62}})
    found = store.newest()
    assert found is not None
    assert (found.seq, found.tau, found.meta) == (7, 70, {"deep": {"list": [1, "zwei", None, 1.5], "by": {3: 1 << 62}}})
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("place", [*range(24), *range(24, 13_000, 331)])
def test_a_damaged_byte_makes_it_no_snapshot(tmp_path: Path, place: int) -> None:
    """Header, index and arrays are under checksums: the one before it is taken. Room between arrays holds nothing."""
    store = SnapshotStore(tmp_path)
    put(store, 1)
    path = put(store, 2)
    raw = bytearray(path.read_bytes())
    at = place % len(raw)
    raw[at] ^= 1
    path.write_bytes(raw)
    found = store.newest()
    assert found is not None
    inside = found.seq == 2
    if inside:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found.arrays[name], array)
    else:
        assert found.seq == 1
    size, (_, _, _, length) = struct.calcsize("<8sIIQ"), struct.unpack("<8sIIQ", bytes(raw[:24]))
    assert not (inside and at < size + min(length, 4096))


@pytest.mark.parametrize("kept", [0, 5, 30, 4100, 8192, 8193])
def test_a_file_that_was_cut_is_passed_over(tmp_path: Path, kept: int) -> None:
    """Whatever of it is there: it is never taken for whole, and never ends the start."""
    store = SnapshotStore(tmp_path)
    put(store, 1)
    path = put(store, 2)
    path.write_bytes(path.read_bytes()[:kept])
    found = store.newest()
    assert found is not None
    assert found.seq == 1


def test_another_version_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is evidence of nothing: what cannot be read is folded again."""
    store = SnapshotStore(tmp_path)
    monkeypatch.setattr(snapshot_file, "VERSION", snapshot_file.VERSION + 1)
    put(store, 1)
    monkeypatch.undo()
    assert store.newest() is None


def test_one_that_is_ahead_of_the_journal_is_passed_over(tmp_path: Path) -> None:
    """A journal that was restored from an older backup is folded from the snapshot that it reaches to."""
    store = SnapshotStore(tmp_path)
    put(store, 5)
    put(store, 9)
    found = store.newest(most_seq=8)
    assert found is not None
    assert found.seq == 5
    assert store.newest(most_seq=4) is None


def test_the_last_two_are_kept_and_the_older_bounds_what_may_go(tmp_path: Path) -> None:
    """Nothing is covered until there are two: the newest may turn out to be damaged."""
    store = SnapshotStore(tmp_path)
    assert (store.latest(), store.covered()) == (None, 0)
    put(store, 3)
    assert store.covered() == 0
    put(store, 5)
    put(store, 9)
    assert [int(path.stem) for path in store.paths()] == [5, 9]
    assert store.covered() == 5
    latest = store.latest()
    assert latest is not None
    assert latest[0] == 9


def test_what_was_saved_and_never_published_counts_for_nothing_and_goes(tmp_path: Path) -> None:
    """As after kill -9 between the two."""
    store = SnapshotStore(tmp_path)
    put(store, 1)
    left = store.save(2, 20, {}, ARRAYS)
    found = store.newest()
    assert found is not None
    assert found.seq == 1
    SnapshotStore(tmp_path).clean()
    assert not left.exists()
    assert len(store.paths()) == 1


def test_a_full_disk_leaves_the_last_one_in_place_and_nothing_beside_it(tmp_path: Path) -> None:
    """The error is told, the half-written file goes."""

    class Full(Disk):
        def fdatasync(self, file: int) -> None:
            raise OSError(28, "no space")

    put(SnapshotStore(tmp_path), 1)
    with pytest.raises(OSError, match="no space"):
        SnapshotStore(tmp_path, disk=Full()).save(2, 20, {}, ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == [f"{1:020d}.snap"]


def test_an_array_is_its_pieces_and_then_the_rows_in_the_snapshot(tmp_path: Path) -> None:
    """Rows [0, 8) in two files, [8, 12) in the snapshot as two blocks: read as one array."""
    store, whole = SnapshotStore(tmp_path), np.arange(36, dtype=np.uint64).reshape(12, 3)
    pieces = [store.save_piece("log-a", [whole[:3], whole[3:4]]), store.save_piece("log-b", [whole[4:8]])]
    rest = (whole[first : first + 2] for first in (8, 10))
    store.publish(store.save(5, 50, {}, {"log": rest, **ARRAYS}, {"log": pieces}))
    found = store.newest()
    assert found is not None
    np.testing.assert_array_equal(found.arrays["log"], whole)
    np.testing.assert_array_equal(found.arrays["a/rows"], ARRAYS["a/rows"])
    assert found.pieces["log"] == pieces
    assert store.bytes() == sum(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize("how", ["damaged", "cut", "missing"])
def test_a_snapshot_of_which_a_piece_is_not_whole_is_passed_over(tmp_path: Path, how: str) -> None:
    """The one before it is taken, though both name pieces."""
    store, rows = SnapshotStore(tmp_path), np.arange(2000)
    for seq in (1, 2):
        piece = store.save_piece(f"log-{seq}", [rows])
        store.publish(store.save(seq, 0, {}, {"log": rows[:0]}, {"log": [piece]}), lambda: {"log-1", "log-2"})
    path = tmp_path / "log-2.piece"
    raw = bytearray(path.read_bytes())
    raw[8000] ^= 1
    path.unlink() if how == "missing" else path.write_bytes(raw[:9000] if how == "cut" else raw)
    found = store.newest()
    assert found is not None
    assert found.seq == 1
    np.testing.assert_array_equal(found.arrays["log"], rows)


def test_a_piece_stays_while_a_snapshot_in_place_names_it_or_one_to_come_will(tmp_path: Path) -> None:
    """Two snapshots are kept: with the third goes what only the first one named, and what a killed process left."""
    store, rows = SnapshotStore(tmp_path), np.arange(4)
    pieces = {name: store.save_piece(name, [rows]) for name in ("a", "b", "c", "coming", "left")}

    def snapshot(seq: int, *names: str) -> set[str]:
        saved = store.save(seq, 0, {}, {"log": rows}, {"log": [pieces[name] for name in names]})
        store.publish(saved, lambda: {"coming", "left"} if seq < 3 else {"coming"})
        return {path.stem for path in tmp_path.glob("*.piece")}

    assert snapshot(1, "a", "b") == {"a", "b", "coming", "left"}
    assert snapshot(2, "b") == {"a", "b", "coming", "left"}
    assert snapshot(3, "b") == {"b", "coming"}
    SnapshotStore(tmp_path).clean()
    assert {path.stem for path in tmp_path.glob("*.piece")} == {"b"}


def test_a_full_disk_leaves_no_piece(tmp_path: Path) -> None:
    """The error is told, the half-written file goes."""

    class Full(Disk):
        def write_at(self, file: int, buffers: object, offset: int) -> int:
            raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        SnapshotStore(tmp_path, disk=Full()).save_piece("a", [np.arange(4)])
    assert not list(tmp_path.iterdir())


def test_a_disk_that_cannot_go_past_the_page_cache_is_written_through_it(tmp_path: Path) -> None:
    """Memory file systems refuse the flag: what is read is the same."""

    class Plain(Disk):
        def open(self, path: Path, flags: int) -> int:
            if flags & os.O_DIRECT:
                raise OSError(errno.EINVAL, "no direct writes")
            return super().open(path, flags)

    store = SnapshotStore(tmp_path, disk=Plain())
    put(store, 3)
    found = store.newest()
    assert found is not None
    np.testing.assert_array_equal(found.arrays["a/rows"], ARRAYS["a/rows"])


def test_a_snapshot_of_version_1_is_read_still(tmp_path: Path) -> None:
    """Its index lies behind a shorter header, and offsets count from the page after it."""
    array = np.arange(5, dtype=np.int64)
    stored = {
        "name": "a", "dtype": "<i8", "shape": (5,), "offset": 0, "crc": zlib.crc32(array.tobytes()),
    }  # fmt: skip
    index = msgspec.msgpack.encode({"seq": 7, "tau": 70, "meta": {"n": 1}, "arrays": [stored]})
    head = struct.pack("<8sIIQ", b"TOCSINS\0", 1, zlib.crc32(index), len(index)) + index
    (tmp_path / f"{7:020d}.snap").write_bytes(head.ljust(4096, b"\0") + array.tobytes())
    found = SnapshotStore(tmp_path).newest()
    assert found is not None
    assert (found.seq, found.tau, found.meta, found.pieces) == (7, 70, {"n": 1}, {"a": []})
    np.testing.assert_array_equal(found.arrays["a"], array)
