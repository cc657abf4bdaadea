r"""Snapshots: the state of the fold as plain arrays, so that a start need not fold the whole journal again.

One file a snapshot, named by the seq up to which everything has been folded; written beside the running fold, put in
place atomically, the last two are kept. A snapshot is evidence of nothing: where it is damaged or of another version
it is passed over, and the journal is folded from the one before, or from its beginning.

An array that only grows at its end is not written whole each time: rows that will not change any more lie in *pieces*,
files of their own that each snapshot names until it needs them no longer. What follows them is in the snapshot.

Version 1 knew no pieces; it is read still. The format is that of ``snapshot_file``.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from tocsin.ledger.disk import Disk
from tocsin.ledger.snapshot_file import PIECE, Draft, Piece, Snapshot, needed_by, read
from tocsin.ledger.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import numpy as np

SUFFIX, PASSING = ".snap", ".new"
KEPT = 2
log = logging.getLogger(__name__)


class SnapshotStore:
    """The snapshots of one installation, in one folder. One writer of snapshots, and one of pieces."""

    def __init__(self, folder: Path, *, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()

    def begin(self, seq: int) -> Draft:
        """Begin a snapshot up to a seq; ``publish`` puts it in place. OSError where the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Draft(self._disk, self.folder / f"{seq:020d}{SUFFIX}{PASSING}")

    def save(
        self,
        seq: int,
        tau: int,
        meta: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray | Iterable[np.ndarray]],
        pieces: Mapping[str, Sequence[Piece]] | None = None,
    ) -> Path:
        """Write a snapshot under a passing name; OSError where the disk refuses."""
        with self.begin(seq) as draft:
            for name, array in arrays.items():
                draft.add(name, array)
            return draft.close(seq, tau, meta, pieces)

    def save_piece(self, name: str, blocks: Sequence[np.ndarray]) -> Piece:
        """Write rows that will not change any more, durable; OSError where the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{name}{PIECE}{PASSING}"
        stream = Stream(self._disk, path)
        try:
            crc = 0
            for block in blocks:
                crc = stream.put(block, crc)
            stream.end()
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            stream.close()
        path.replace(path.with_suffix(""))
        return Piece(name, sum(len(block) for block in blocks), crc)

    def publish(self, path: Path, keep: Callable[[], Collection[str]] = tuple) -> Path:
        """Put a saved snapshot in place, durable, and let go of all but the newest ``KEPT``.

        A piece goes when no snapshot in place names it and ``keep``, asked afterwards, does not either.
        """
        # First the pieces: a snapshot in place must not name what a power failure may take.
        self._disk.sync_folder(self.folder)
        final = path.with_suffix("")
        path.replace(final)
        self._disk.sync_folder(self.folder)
        for old in self.paths()[:-KEPT]:
            old.unlink(missing_ok=True)
        found = list(self.folder.glob(f"*{PIECE}"))
        needed = self._needed()
        if needed is not None:
            needed.update(keep())
            for piece in found:
                if piece.stem not in needed:
                    piece.unlink(missing_ok=True)
        return final

    def clean(self) -> None:
        """Remove what was saved and never published; only while no other process works on the folder."""
        for leftover in self.folder.glob(f"*{PASSING}"):
            leftover.unlink()
        needed = self._needed()
        if needed is not None:
            for piece in self.folder.glob(f"*{PIECE}"):
                if piece.stem not in needed:
                    piece.unlink()

    def _needed(self) -> set[str] | None:
        """Return the names of the pieces of all snapshots in place; None where one of these cannot be read."""
        needed: set[str] = set()
        for path in self.paths():
            try:
                needed |= needed_by(path)
            except (OSError, ValueError, msgspec.MsgspecError):
                # Another version, or damaged: it goes in its turn, and what it may need goes with it.
                return None
        return needed

    def paths(self) -> list[Path]:
        """Return the snapshots that are in place, oldest first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def bytes(self) -> int:
        """Return the size of the newest snapshot in place with its pieces; 0 where there is none that can be read."""
        for path in reversed(self.paths()):
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                pieces = (self.folder / f"{name}{PIECE}" for name in needed_by(path))
                return path.stat().st_size + sum(piece.stat().st_size for piece in pieces)
        return 0

    def latest(self) -> tuple[int, float] | None:
        """Return (seq, seconds since 1970 when it was written) of the newest in place, unread; None: there is none."""
        for path in reversed(self.paths()):
            # It may be replaced by a newer one just now: then the one before it is as good an answer.
            with contextlib.suppress(FileNotFoundError):
                return int(path.name.removesuffix(SUFFIX)), path.stat().st_mtime
        return None

    def covered(self) -> int:
        """Return the seq up to which the older of the kept snapshots goes, 0 where there are not yet ``KEPT``.

        Only what lies before it may leave the journal: where the newest turns out to be damaged, the older one and the
        journal after it still make up the whole state.
        """
        paths = self.paths()
        return int(paths[0].name.removesuffix(SUFFIX)) if len(paths) >= KEPT else 0

    def newest(self, *, most_seq: int = 1 << 62) -> Snapshot | None:
        """Return the newest snapshot that is whole and goes no further than ``most_seq``, or None."""
        for path in reversed(self.paths()):
            try:
                found = read(path)
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.error("snapshot %s is passed over: %s", path, error)
                continue
            if found.seq <= most_seq:
                return found
            log.error("snapshot %s is passed over: it is ahead of the journal", path)
        return None
