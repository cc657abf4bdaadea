"""Tally: what the views count of a slice of rows, taken while the rows are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.events import SECOND

if TYPE_CHECKING:
    from tocsin.flow.wide.rows import Rows

EARNING = ("order.paid", "order.placed")


class Tally(msgspec.Struct, frozen=True):
    """Counts of a slice of events from outside.

    ``types``: event type -> events; ``seconds``: (second of tau, events), ascending; ``money``: (type, currency or "",
    second, minor units); ``tau`` of the last row.
    """

    types: dict[str, int]
    seconds: list[tuple[int, int]]
    money: list[tuple[str, str, int, int]]
    tau: int


def tally_of(rows: Rows) -> Tally:
    """Return the tally of a batch of events from outside (at least one row)."""
    counts = np.bincount(rows.kinds, minlength=1)
    seconds, events = np.unique(rows.taus // SECOND, return_counts=True)
    money: dict[tuple[str, str, int], int] = {}
    for kind in EARNING:
        places = np.flatnonzero(rows.of_type(kind))
        if not len(places):
            continue
        amounts, present = rows.fixed("amount", 0)
        places = places[present[places]]
        currencies = rows.pick(places).texts("currency")
        moments = (rows.taus[places] // SECOND).tolist()
        for amount, currency, second in zip(amounts[places].tolist(), currencies, moments, strict=True):
            place = (kind, currency or "", second)
            money[place] = money.get(place, 0) + amount
    return Tally(
        types={rows.names.types[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist()},
        seconds=list(zip(seconds.tolist(), events.tolist(), strict=True)),
        money=[(*place, amount) for place, amount in money.items()],
        tau=int(rows.taus[-1]),
    )
