"""Scoring: what Tocsin did, against the truth that only the store knows."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.events import MINUTE, SECOND, split_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tocsin.twin.books import Books
    from tocsin.twin.controls import Obeyed
    from tocsin.twin.trouble import Trouble

AFTERWARDS = 5 * MINUTE
"""An incident that opens so long after the trouble's end is still about it."""
PERSONAL = frozenset({"account", "device", "ip", "card", "address", "session"})
FALL = 0.8
"""Share by which the harm rate must fall for a response to count as effective."""
FEW = 5
"""Harmful acts that a comparison of rates needs at least."""
LONGEST = 15 * MINUTE


class Result(msgspec.Struct, frozen=True):
    """One drill at one strength. Seconds are simulated; money is what is lost beyond the same seed's quiet run."""

    drill: str
    strength: str
    detected: bool
    seconds_to_detect: float | None
    seconds_to_respond: float | None
    false_incidents: int
    lost_with: int
    lost_without: int
    lost_with_thresholds: int


class Truth:
    """The subjects that took part, as Tocsin names them: pseudonyms where the door makes them."""

    def __init__(
        self, troubles: Sequence[Trouble], guilty: dict[str, set[str]], pseudonym: Callable[[str, str], str]
    ) -> None:
        self.troubles = troubles
        self._names = {name: {_named(subject, pseudonym) for subject in found} for name, found in guilty.items()}
        self._everyone = {subject for found in self._names.values() for subject in found}

    def about(self, incident: dict[str, Any], trouble: Trouble) -> bool:
        """Whether an incident is about a trouble: in its time, and its subject or kind is right."""
        if not trouble.start <= incident["opened"] <= trouble.end + AFTERWARDS:
            return False
        own = self._names.get(trouble.name, set()) | set(trouble.subjects)
        subject = incident.get("subject", "")
        if subject in own:
            return True
        entity = split_subject(subject)[0]
        if entity in PERSONAL or any(split_subject(other)[0] == entity for other in trouble.subjects):
            return False
        touched = own & set(_subjects(incident))
        return bool(touched) or (incident["kind"] in trouble.kinds if trouble.kinds else True)

    def false(self, incident: dict[str, Any]) -> bool:
        """Whether an incident is about nothing: no trouble, and nobody who really did wrong."""
        if any(self.about(incident, trouble) for trouble in self.troubles):
            return False
        return not self._everyone & {incident.get("subject", ""), *_subjects(incident)}


def _named(subject: str, pseudonym: Callable[[str, str], str]) -> str:
    entity, key = split_subject(subject)
    return f"{entity}:{pseudonym(entity, key)}" if entity in PERSONAL - {"ip"} else subject


def _subjects(incident: dict[str, Any]) -> Iterable[str]:
    for entity, keys in incident.get("entities", {}).items():
        for key in keys:
            yield f"{entity}:{key}"


def responded(trouble: Trouble, with_tocsin: Books, without: Books, effects: Sequence[Obeyed]) -> float | None:
    """Return the seconds from the trouble's start to the first effective response, None where there was none.

    Effective: an obeyed action hit a subject that the trouble names; or from that moment on, over a span long enough
    for ``FEW`` harmful acts (2 to 15 minutes), harm is at least 80 % below the same span without Tocsin.
    """
    relevant = [effect.start for effect in effects if effect.start >= trouble.start]
    if not relevant:
        return None
    targets = {split_subject(subject)[1] for subject in trouble.subjects}
    moments = [effect.start for effect in effects if effect.key in targets and effect.start >= trouble.start]
    ours, theirs = sorted(with_tocsin.harm.get(trouble.name, [])), sorted(without.harm.get(trouble.name, []))
    duration = trouble.end - trouble.start
    span = min(max(2 * MINUTE, FEW * duration // max(len(theirs), 1)), LONGEST)
    for moment in range(min(relevant), trouble.end - span // 2, 5 * SECOND):
        harm = _within(theirs, moment, moment + span)
        if harm >= FEW - 2 and _within(ours, moment, moment + span) <= (1 - FALL) * harm:
            moments.append(moment)
            break
    return (min(moments) - trouble.start) / SECOND if moments else None


def _within(times: Sequence[int], start: int, end: int) -> int:
    return bisect_left(times, end) - bisect_left(times, start)
