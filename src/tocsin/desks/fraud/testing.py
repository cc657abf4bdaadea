"""Card testing: stolen card numbers tried with small payments until one goes through.

The evidence is in decimal orders of magnitude: how unlikely the declines would be at an honest customer's rate
(n KL(k/n || p0), the Chernoff bound of the binomial tail), plus what many cards from one place are worth by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.events import MINUTE, subject_of
from tocsin.core.signal import Reason, Signal, Text, signal_id

if TYPE_CHECKING:
    from tocsin.core.desk import Batch, Features

HONEST_DECLINES = 0.15
"""Share of declined payments that an honest crowd stays below."""
NEEDED = 4.0
"""Evidence from which a signal goes out: chance 1 in 10^4 per ten minutes and place."""
ATTEMPT_COST = 60
"""Minor units that a gateway takes for one declined attempt."""
CHARGE_BACK = 15_000
"""Minor units that a charge-back costs beside the amount."""


class Place(msgspec.Struct, frozen=True):
    """Where testing shows: the windows ``<entity>_*_<label>`` over ``minutes``.

    ``fewest`` distinct cards are needed, and each one beyond two is worth ``spread`` orders of magnitude by itself:
    a device belongs to one person as a rule, an address or a bin does not.
    """

    entity: str
    label: str
    minutes: int
    fewest: int
    spread: float


PLACES = (
    Place("device", "1h", 60, 3, 0.75),
    Place("ip", "10m", 10, 4, 0.0),
    Place("ip", "1h", 60, 5, 0.0),
    Place("bin", "10m", 10, 5, 0.0),
    Place("bin", "1h", 60, 8, 0.0),
)
REASON = Text(
    "{cards} cards were tried within {minutes} minutes, {declined} of {attempts} payments were declined.",
    "{minutes} 分钟内尝试了 {cards} 张卡，{attempts} 笔付款中有 {declined} 笔被拒。",
)


def evidence(attempts: np.ndarray, declined: np.ndarray, cards: np.ndarray, place: Place) -> np.ndarray:
    """Return the evidence [n] for card testing in powers of ten; 0 below the fewest cards.

    >>> place = Place("ip", "10m", 10, 4, 0.0)
    >>> evidence(np.array([10.0, 10.0]), np.array([10.0, 1.0]), np.array([10.0, 10.0]), place).round(2).tolist()
    [8.24, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(declined / attempts, 1e-12, 1 - 1e-12)
        divergence = share * np.log(share / HONEST_DECLINES) + (1 - share) * np.log((1 - share) / (1 - HONEST_DECLINES))
        unlikely = np.where(share > HONEST_DECLINES, attempts * divergence / np.log(10), 0.0)
        total = unlikely + place.spread * np.maximum(cards - 2, 0)
    return np.where(np.nan_to_num(cards) >= place.fewest, np.nan_to_num(total), 0.0)


def signals(batch: Batch, features: Features, rows: np.ndarray) -> list[tuple[int, Signal]]:
    """Return the card-testing signals that the payments at ``rows`` (bool [n]) give rise to, in their order."""
    found: list[tuple[int, Signal]] = []
    if not rows.any():
        return found
    for place in PLACES:
        names = [f"{place.entity}_{what}_{place.label}" for what in ("n", "declined", "cards", "sum")]
        attempts, declined, cards, total = features.matrix(names).T
        strength = np.where(rows, evidence(attempts, declined, cards, place), 0.0)
        strong = np.flatnonzero(strength >= NEEDED)
        keys = batch.texts(place.entity) if len(strong) else ()
        for row in strong.tolist():
            key = keys[row]
            if key is not None:
                numbers = (int(attempts[row]), int(declined[row]), int(cards[row]), int(np.nan_to_num(total[row])))
                found.append((row, _signal(batch, row, place, key, float(strength[row]), numbers)))
    found.sort(key=lambda pair: pair[0])
    return found


def _signal(
    batch: Batch, row: int, place: Place, key: str, strength: float, numbers: tuple[int, int, int, int]
) -> Signal:
    event = batch.events[row]
    attempts, declined, cards, total = numbers
    through = (attempts - declined) * (total // max(attempts, 1) + CHARGE_BACK)
    seen = {"cards": cards, "declined": declined, "attempts": attempts, "amount": total, "minutes": place.minutes}
    subject = subject_of(place.entity, key)
    entities = {
        name: value for name in ("device", "ip", "card") if isinstance(value := event.data.get(name), str) and value
    }
    return Signal(
        id=signal_id("fraud", "card-testing", event.shop, subject, event.tau),
        desk="fraud",
        kind="card-testing",
        shop=event.shop,
        subject=subject,
        score=1 - 10 ** (-strength / NEEDED),
        onset=event.tau - event.tau % MINUTE,
        tau=event.tau,
        entities=entities,
        evidence=seen | {"place": place.entity, "strength": round(strength, 2)},
        reasons=(Reason("card-testing", REASON.filled(seen)),),
        loss_per_minute=(declined * ATTEMPT_COST + through) // place.minutes,
        currency=str(event.data.get("currency", "")),
        series="fraud.declines",
    )
