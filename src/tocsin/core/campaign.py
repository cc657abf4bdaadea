"""Campaign: the promotion clock. Expected uplift, items, coupons, budgets; thresholds and budgets read it."""

from __future__ import annotations

import msgspec


class Campaign(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One planned promotion, from ``start`` to ``end`` (microseconds, end exclusive).

    ``uplift`` is the expected factor on traffic and orders, ``peak`` the factor in the opening minutes
    (``peak_minutes``); ``budget_factor`` multiplies the guard's budgets while it runs.
    """

    id: str
    shop: str
    name: str
    start: int
    end: int
    uplift: float = 1.0
    peak: float = 1.0
    peak_minutes: int = 0
    skus: tuple[str, ...] = ()
    coupons: tuple[str, ...] = ()
    budget_factor: float = 1.0

    def factor(self, time: int) -> float:
        """Return the expected uplift at a time: 1.0 outside, ``peak`` in the opening minutes, else ``uplift``.

        >>> hour = {"start": 0, "end": 3_600_000_000}
        >>> plan = Campaign(id="c", shop="s", name="n", **hour, uplift=3.0, peak=20.0, peak_minutes=1)
        >>> plan.factor(30_000_000), plan.factor(90_000_000), plan.factor(-1)
        (20.0, 3.0, 1.0)
        """
        if not self.start <= time < self.end:
            return 1.0
        if time < self.start + self.peak_minutes * 60_000_000:
            return self.peak
        return self.uplift
