"""Questions and verdicts of a cycle on their way to journal and records: encoded once for both, by the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from tocsin.core.signal import Verdict

TYPE = "tocsin.verdict"


class Blocks(Protocol):
    """How the journal takes events as JSON lines (``ledger.blocks``)."""

    Block: Any


class _Line(msgspec.Struct, frozen=True, gc=False):
    """The journal's event of a verdict, as ``verdicts.as_event`` makes it."""

    id: str
    time: int
    data: msgspec.Raw
    subject: str
    shop: str
    source: str = "tocsin"
    type: str = TYPE


_BODY = msgspec.json.Encoder().encode
_LINES = msgspec.json.Encoder().encode_lines


class Served:
    """Questions and the verdicts on them, whose events were stamped: those of the verdicts behind the questions.

    Parameters
    ----------
    lines, first_seq, taus, types
        The events that were asked about, as they came, joined by line feeds, with the stamps of all events (int64 [n])
        and the distinct types of the first.
    """

    def __init__(
        self,
        blocks: Blocks,
        lines: bytes,
        first_seq: int,
        taus: np.ndarray,
        types: Iterable[str],
        verdicts: Sequence[Verdict],
    ) -> None:
        self._blocks = blocks
        self._asked = lines
        self._first_seq, self._taus = first_seq, taus
        self._types = types
        self._verdicts = verdicts
        self.bodies: Mapping[str, bytes] = {}
        """The JSON of each verdict by its id, once it has been made."""

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self._first_seq + len(self._taus) - 1

    def correct(self, corrected: Mapping[str, Verdict]) -> None:
        """Put other verdicts in the places of those with the same ids: they are not on disk yet."""
        self._verdicts = [corrected.get(one.id, one) for one in self._verdicts]
        self.bodies = {}

    def block(self) -> Any:
        """Return the events as a block of the journal, to be read one by one."""
        bodies = self.bodies = {one.id: _BODY(one) for one in self._verdicts}
        lines = [_Line(one.id, one.tau, msgspec.Raw(bodies[one.id]), one.subject, one.shop) for one in self._verdicts]
        text = b"%b\n%b" % (self._asked, _LINES(lines)[:-1]) if lines else self._asked
        types = tuple(sorted({*self._types, TYPE} if lines else self._types))
        return self._blocks.Block(self._first_seq, self._taus, text, types, singly=True)
