"""Backup and restore of a data folder; the backup may be taken while Tocsin runs.

Order decides. The records are copied first, then snapshots and history, then the journal: so the copied journal is
never behind a cursor or a snapshot that the copy holds. Meanwhile nothing is recycled. Last the keys of subjects are
brought up to date in the copy: so no sealed value in the copied journal lacks its key. What the copy of a running
journal holds beyond the last commit is a torn end, cut off at the first start, as after a crash.

A backup holds the master key and everything sealed, and keeps what is forgotten later: guard it like the installation,
let it grow old only as long as the law allows, and hand ``restore`` the folder that it replaces, so that who was
forgotten since stays forgotten.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.errors import Misconfigured
from tocsin.ledger.disk import Disk
from tocsin.ledger.segments import SUFFIX
from tocsin.ledger.shelf import HOLD, held
from tocsin.ledger.snapshot_file import PIECE, needed_by
from tocsin.ledger.snapshots import SUFFIX as SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "MANIFEST.json"
VERSION = 1
_SQLITE = b"SQLite format 3\0"
_PASSING = ("-wal", "-shm", "-journal", ".new")
"""Endings of files that live only beside a running process."""
JOURNAL = "journal"
_LOCKS = ("lock", HOLD)
_STATE = (SNAPSHOT, PIECE)


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds: the SHA-256 of each file, by its path in the folder."""

    version: int
    files: dict[str, str]


def backup(folder: Path | str, target: Path | str) -> Manifest:
    """Copy a data folder to a new folder; Misconfigured where there is nothing to copy or the target is not empty."""
    folder, target = Path(folder), Path(target)
    if not folder.is_dir():
        raise Misconfigured(f"backup: there is no data folder {folder}")
    if folder.resolve() in (target.resolve(), *target.resolve().parents):
        raise Misconfigured(f"backup: {target} lies inside {folder}; choose a folder outside")
    _make_empty(target, "backup")
    try:
        return _backup(folder, target)
    except (OSError, sqlite3.Error) as error:
        raise Misconfigured(f"backup: {error}; {target} is not complete, remove it") from error


def _backup(folder: Path, target: Path) -> Manifest:
    with held(folder / JOURNAL):
        databases = [path for path in _files(folder) if path.suffix not in _STATE and _is_database(path)]
        for path in databases:
            _copy_database(path, _placed(path, folder, target))
        _copy_snapshots(folder, target)
        # Only now is it asked what else there is: the journal in the copy reaches beyond every snapshot in it.
        others = [path for path in _files(folder) if path not in databases and path.suffix not in _STATE]
        for path in sorted(others, key=lambda path: (path.suffix == SUFFIX, path)):
            _copy(path, _placed(path, folder, target))
    for path in databases:
        _renew_keys(path, target / path.relative_to(folder))
    files = {str(path.relative_to(target)): _sha256(path) for path in _files(target)}
    manifest = Manifest(VERSION, files)
    Disk().replace(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _copy_snapshots(folder: Path, target: Path) -> None:
    """Copy the snapshots, at least one where there are any: the journal may lack what they hold.

    A running server removes one when the second after it is in place, also while it is being copied.
    """
    while found := [path for path in _files(folder) if path.suffix == SNAPSHOT]:
        # All are tried: what the second of them has in common with the first is copied once.
        if any([_copy_snapshot(path, _placed(path, folder, target)) for path in reversed(found)]):
            return


def _copy_snapshot(path: Path, copy: Path) -> bool:
    """Copy a snapshot with its pieces; False where it has gone meanwhile."""
    try:
        _copy(path, copy)
        for name in needed_by(copy):
            if not copy.with_name(name + PIECE).exists():
                _copy(path.with_name(name + PIECE), copy.with_name(name + PIECE))
    except FileNotFoundError:
        if not path.exists():
            copy.unlink(missing_ok=True)
            return False
    except (ValueError, msgspec.MsgspecError):
        # A damaged one names nothing. It is passed over at the start, as it was here.
        pass
    return True


def restore(source: Path | str, folder: Path | str, *, replaces: Path | str | None = None) -> Manifest:
    """Copy a backup to a new data folder, every file checked.

    ``replaces`` is the folder that the restored one takes the place of: who was forgotten there stays forgotten.
    Misconfigured where a file is missing or changed, or the folder is not empty; then nothing is left behind in it.
    """
    source, folder = Path(source), Path(folder)
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise Misconfigured(f"restore: {source} is no complete backup: {error}") from error
    if manifest.version != VERSION:
        raise Misconfigured(f"restore: {source} is of version {manifest.version}, this Tocsin reads {VERSION}")
    _make_empty(folder, "restore")
    try:
        for name, digest in sorted(manifest.files.items()):
            path = source / name
            if ".." in Path(name).parts or not path.is_file() or _sha256(path) != digest:
                raise Misconfigured(f"restore: {path} is missing or was changed since the backup; use another backup")
            _copy(path, folder / name)
        if replaces is not None:
            for path in _files(folder):
                if _is_database(path):
                    _keep_forgotten(Path(replaces) / path.relative_to(folder), path)
    except (Misconfigured, OSError, sqlite3.Error) as error:
        shutil.rmtree(folder)
        if isinstance(error, Misconfigured):
            raise
        raise Misconfigured(f"restore: {error}; nothing was restored") from error
    return manifest


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name not in (*_LOCKS, MANIFEST):
            if not path.name.endswith(_PASSING):
                yield path


def _make_empty(folder: Path, what: str) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise Misconfigured(f"{what}: {folder} is not empty; choose a new folder")


def _placed(path: Path, folder: Path, target: Path) -> Path:
    return target / path.relative_to(folder)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(path, target)
    with target.open("rb") as file:
        Disk().fdatasync(file.fileno())
    Disk().sync_folder(target.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copy_database(path: Path, target: Path) -> None:
    """Copy a live SQLite database as of one moment, its write-ahead log included."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path)) as live, contextlib.closing(sqlite3.connect(target)) as copy:
        live.backup(copy)


def _renew_keys(path: Path, copy: Path) -> None:
    """Take over the keys that were made while the journal was copied, and the destruction of others."""
    _merge(path, copy, "INSERT OR REPLACE INTO subject_keys SELECT * FROM other.subject_keys")


def _keep_forgotten(before: Path, path: Path) -> None:
    """Destroy the keys of all who are forgotten in the replaced folder."""
    if not before.is_file():
        raise Misconfigured(f"restore: there is no {before}; who was forgotten since the backup is not known")
    _merge(
        before,
        path,
        "INSERT OR REPLACE INTO subject_keys SELECT * FROM other.subject_keys WHERE other.subject_keys.shredded > 0",
    )


def _merge(other: Path, into: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(into)) as copy:
        copy.execute("PRAGMA secure_delete=ON")
        copy.execute("ATTACH DATABASE ? AS other", (str(other),))
        tables = copy.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'subject_keys'").fetchone()
        if tables:
            copy.execute(statement)
            copy.commit()
        copy.execute("DETACH DATABASE other")
        # The copy must be one file: what a write-ahead log would hold is not in the manifest.
        copy.execute("PRAGMA journal_mode=DELETE")
