"""ModelStore: learned models as files named by their SHA-256, with a record of version, card and stage."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.records import ModelVersion
from tocsin.errors import Conflict, Misconfigured, NotFound
from tocsin.ledger.audit import wall_clock
from tocsin.ledger.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.desk import Candidate
    from tocsin.core.ports import Records

STAGES = ("candidate", "shadow", "live", "retired")


class ModelStore:
    """Artefacts in ``folder``, their versions in the records. A version never changes its bytes, only its stage."""

    def __init__(
        self, folder: Path | str, records: Records, *, now: Callable[[], int] = wall_clock, disk: Disk | None = None
    ) -> None:
        self._folder = Path(folder)
        self._records = records
        self._now = now
        self._disk = disk or Disk()

    def put(self, candidate: Candidate, *, by: str = "") -> ModelVersion:
        """Store a learned model as a candidate; the same bytes for the same desk are the version that is there."""
        digest = hashlib.sha256(candidate.artefact).hexdigest()
        path = self._folder / digest
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._disk.replace(path, candidate.artefact)
        table = self._records.table(ModelVersion)
        id = f"{candidate.desk}-{digest[:16]}"
        with self._records.transaction():
            found = table.get(id)
            if found is None:
                made = self._now()
                found = ModelVersion(
                    id=id,
                    desk=candidate.desk,
                    digest=digest,
                    card=candidate.card,
                    stage="candidate",
                    created=made,
                    changed=made,
                    by=by,
                )
                table.put(found)
        return found

    def read(self, digest: str) -> bytes:
        """Return the bytes of that SHA-256; NotFound where there are none, Misconfigured where they were changed."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise NotFound(f"models: {digest!r} is no SHA-256")
        path = self._folder / digest
        try:
            artefact = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"models: there is no {path}") from None
        if hashlib.sha256(artefact).hexdigest() != digest:
            raise Misconfigured(f"models: {path} was changed: its SHA-256 is another; restore it from a backup")
        return artefact

    def versions(self, desk: str = "") -> list[ModelVersion]:
        """Return the versions, the newest first."""
        table = self._records.table(ModelVersion)
        return list(table.find({"desk": desk} if desk else None, order="-created", limit=1000))

    def live(self, desk: str) -> ModelVersion | None:
        """Return the version that the desk serves with, or None."""
        found = self._records.table(ModelVersion).find({"desk": desk, "stage": "live"}, limit=1)
        return found[0] if found else None

    def stage(self, id: str, stage: str, *, by: str) -> ModelVersion:
        """Move a version to a stage, by a named person; what was live before retires. NotFound, Conflict."""
        if stage not in STAGES:
            raise Conflict(f"models: {stage!r} is no stage; stages are {', '.join(STAGES)}")
        table = self._records.table(ModelVersion)
        with self._records.transaction():
            found = table.get(id)
            if found is None:
                raise NotFound(f"models: there is no version {id}")
            # A person sees a model beside the old one before it serves: publishing goes through shadow.
            if stage == "live" and found.stage == "candidate":
                raise Conflict(f"models: {id} is a candidate; let it run in shadow first")
            now = self._now()
            before = self.live(found.desk)
            if stage == "live" and before is not None and before.id != id:
                table.put(msgspec.structs.replace(before, stage="retired", changed=now, by=by))
            moved = msgspec.structs.replace(found, stage=stage, changed=now, by=by)
            table.put(moved)
        return moved

    def rollback(self, desk: str, *, by: str) -> ModelVersion | None:
        """Retire the live version and make the one that retired last live again; None where there was none before."""
        table = self._records.table(ModelVersion)
        with self._records.transaction():
            before = table.find({"desk": desk, "stage": "retired"}, order="-changed", limit=1)
            current = self.live(desk)
            if current is not None:
                self.stage(current.id, "retired", by=by)
            return self.stage(before[0].id, "live", by=by) if before else None
