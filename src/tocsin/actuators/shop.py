"""The shop actuator: the store's own door (the demo store's too), over the protocol of ``actuators.webhook``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.actuators.webhook import WebhookActuator
from tocsin.core.action import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOP_VERBS = frozenset(VERBS) - {"notify"}
"""Everything that is done inside a shop; telling people is not."""


class ShopActuator(WebhookActuator):
    """Does verbs in a store that keeps an actuator door; it counts down each ``ttl_s`` by itself."""

    def __init__(
        self, url: str, secret: str, *, verbs: Iterable[str] = SHOP_VERBS, name: str = "shop", timeout_s: float = 3.0
    ) -> None:
        super().__init__(url, secret, verbs=verbs, name=name, timeout_s=timeout_s)
