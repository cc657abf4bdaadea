"""Verdicts of a cycle on their way to journal and records: encoded once, for both, by the journal's writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """Verdicts whose events were stamped, in the order of seq.

    Parameters
    ----------
    first_seq, taus
        The stamps of their events: seqs that follow each other, and taus, int64 [n].
    """

    def __init__(self, blocks: Blocks, verdicts: Sequence[Verdict], first_seq: int, taus: np.ndarray) -> None:
        self._blocks = blocks
        self._first_seq, self._taus = first_seq, taus
        self.verdicts = verdicts
        self.bodies: Mapping[str, bytes] = {}
        """The JSON of each verdict by its id, once it has been made."""

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self._first_seq + len(self._taus) - 1

    def correct(self, corrected: Mapping[str, Verdict]) -> None:
        """Put other verdicts in the places of those with the same ids: they are not on disk yet."""
        self.verdicts = [corrected.get(one.id, one) for one in self.verdicts]
        self.bodies = {}

    def block(self) -> Any:
        """Return the events as a block of the journal."""
        bodies = self.bodies = {one.id: _BODY(one) for one in self.verdicts}
        lines = [_Line(one.id, one.tau, msgspec.Raw(bodies[one.id]), one.subject, one.shop) for one in self.verdicts]
        return self._blocks.Block(self._first_seq, self._taus, _LINES(lines)[:-1], (TYPE,))
