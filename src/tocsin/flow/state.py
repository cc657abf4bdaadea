"""The state of a fold as plain values and arrays, and back: what a snapshot holds of it.

Windows, series and deadlines are kept by what they were declared as: a fold of other declarations takes up what it
still knows, and leaves the rest missing until it is warm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.core.signal import Mode
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tocsin.flow.fold import Fold
    from tocsin.flow.wide.logged import PlaneLog

PARTS = ("windows", "tracks", "deadlines")


def logs_of(fold: Fold) -> dict[str, PlaneLog]:
    """Return the logs of a fold on the compiled plane, by the names of their arrays in a state without them."""
    from tocsin.flow.wide.logged import PlaneLog

    windows: Any = fold.windows
    return {f"windows/plane{place}.log": PlaneLog(plane) for place, (plane, _) in enumerate(windows.planes)}


def spread_of(fold: Fold) -> list[np.ndarray]:
    """Return the arrays of a fold on the compiled plane that events read and write at random places."""
    windows: Any = fold.windows
    found: list[np.ndarray] = []
    for plane, _ in windows.planes:
        found += plane.spread()
    return found


def shared_of(fold: Fold) -> list[np.ndarray]:
    """Return those of them that a forked child sees, and may take for itself (``reserved.unshared``)."""
    windows: Any = fold.windows
    return [array for plane, _ in windows.planes for array in plane.shared()]


def state_of(fold: Fold) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (plain values, arrays by ``part/name``) of a fold on the compiled plane; Misconfigured on the plain one.

    The arrays, some of them iterators of blocks of their rows, may be the fold's own memory: copy or write them before
    the next step. Left out are the logs of windows (``logs_of``): who keeps the state adds ``NAME``, from any row of
    the log on, with ``NAME.first`` int64 [1], the number of that row.
    """
    if not fold.engine.wide:
        raise Misconfigured("the plain plane keeps no snapshots: its state is folded from the journal")
    meta: dict[str, Any] = {
        "tau": fold.tau,
        "seed": fold.engine.hasher.text("seed"),
        "told": list(fold.told.items()),
        "counters": fold.own_counters(),
        "campaigns": fold.campaigns.state(),
        "lists": fold.lists.values,
        "rules": fold.rules.documents(),
        "house": fold.house.documents(),
        "seats": {name: [seat.mode.value, dict(seat.digests), seat.out] for name, seat in fold.seats.items()},
    }
    arrays: dict[str, Any] = {}
    learned: dict[str, Any] = {}
    for name, seat in fold.seats.items():
        if seat.novelty is not None:
            learned[name], found = seat.novelty.state()
            arrays.update({f"novelty.{name}/{part}": array for part, array in found.items()})
    meta["novelty"] = learned
    from tocsin.flow.wide.logged import Beside

    windows: Any = fold.windows
    for part in PARTS:
        own, found = windows.state(Beside) if part == "windows" else getattr(fold, part).state()
        meta[part] = own
        arrays.update({f"{part}/{name}": array for name, array in found.items()})
    return meta, arrays


def restore_into(fold: Fold, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Put a state into a fold that has folded nothing; Misconfigured where it was made under another seed."""
    if meta["seed"] != fold.engine.hasher.text("seed"):
        raise Misconfigured("the snapshot was made under another master key")
    fold.tau = meta["tau"]
    fold.told.update(meta["told"])
    fold.restore_counters(meta["counters"])
    fold.campaigns.restore(meta["campaigns"])
    for name, values in meta["lists"].items():
        for value, expires in values.items():
            fold.lists.add(name, value, expires)
    fold.house.declare(meta["house"])
    fold.rules.replace(meta["rules"])
    for name, (mode, digests, out) in meta["seats"].items():
        seat = fold.seats.get(name)
        if seat is None:
            continue
        seat.mode, seat.out = Mode(mode), out
        for stage in ("live", "shadow"):
            if digests[stage]:
                seat.put_model(digests[stage], stage, fold.artefact(digests[stage]))
        if seat.novelty is not None and name in meta["novelty"]:
            seat.novelty.restore(meta["novelty"][name], _under(f"novelty.{name}/", arrays))
    from tocsin.flow.wide.logged import joined

    for part in PARTS:
        own = _under(f"{part}/", arrays)
        getattr(fold, part).restore(meta[part], joined(own) if part == "windows" else own)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
