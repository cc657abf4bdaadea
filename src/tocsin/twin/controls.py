"""What the store has been told to do: actions obeyed, each until its ttl is over or it is undone."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from tocsin.core.events import SECOND, split_subject
from tocsin.twin.world import BY_NAME, SERVICE, Payer

OBEYED = frozenset(
    {
        "ip.block",
        "ip.challenge",
        "payment.freeze",
        "account.stepup",
        "device.stepup",
        "gateway.failover",
        "shop.protect",
        "order.hold",
        "sku.pause",
        "service.scale",
    }
)
_OPEN = frozenset({"ip.block", "ip.challenge", "gateway.failover", "shop.protect", "sku.pause", "service.scale"})
"""Verbs whose targets are not pseudonyms: the target itself will do where no clear key is sent."""
DEFAULT_TTL_S = 900


class Refused(Exception):
    """The wish cannot be obeyed as it is; the message says why."""


class Obeyed(msgspec.Struct):
    """One effect: in force in [start, end)."""

    id: str
    verb: str
    key: str
    args: dict[str, Any]
    start: int
    end: int
    undone: int = 0


class Controls:
    """The effects in force. Doors call ``do`` and ``undo`` from their own thread; the store asks the rest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Obeyed] = {}
        self._live: dict[tuple[str, str], list[Obeyed]] = {}
        self.history: list[Obeyed] = []

    def do(self, action: dict[str, Any], now: int) -> str:
        """Put an action in force and return its reference; a known id changes nothing; Refused names what is wrong."""
        verb, identity = str(action.get("verb", "")), str(action.get("id", ""))
        if verb not in OBEYED:
            raise Refused(f"verb {verb!r} is not obeyed here")
        if not identity:
            raise Refused("the action has no id")
        key = self._key(verb, action)
        ttl = action.get("ttl_s") or DEFAULT_TTL_S
        if not isinstance(ttl, int) or ttl < 0:
            raise Refused("ttl_s must be a positive integer")
        args = action.get("args") or {}
        with self._lock:
            if identity not in self._by_id:
                effect = Obeyed(identity, verb, key, dict(args), now, now + ttl * SECOND)
                self._by_id[identity] = effect
                self._live.setdefault((verb, key), []).append(effect)
                self.history.append(effect)
        return f"store/{identity}"

    def undo(self, action: dict[str, Any], now: int) -> str:
        """Take an action back; one that is unknown or over already is no error."""
        identity = str(action.get("id", ""))
        with self._lock:
            effect = self._by_id.get(identity)
            if effect is not None and not effect.undone:
                effect.undone = now
                effect.end = min(effect.end, now)
        return f"store/{identity}"

    @staticmethod
    def _key(verb: str, action: dict[str, Any]) -> str:
        key = action.get("key") or ""
        if not key and (verb in _OPEN or verb == "order.hold"):
            key = split_subject(str(action.get("target", "")))[1]
        if verb == "shop.protect":
            return "shop"
        if not key:
            raise Refused(f"{verb}: the clear key of {action.get('target', '')!r} is needed")
        if verb == "gateway.failover" and key not in BY_NAME:
            raise Refused(f"{key!r} is no gateway of this store")
        return SERVICE if verb == "service.scale" else str(key)

    def active(self, verb: str, key: str, now: int) -> bool:
        """Whether the verb is in force on that key now."""
        effects = self._live.get((verb, key))
        return effects is not None and any(effect.start <= now < effect.end for effect in effects)

    def replicas(self, now: int) -> int:
        """Return how many machines have been added."""
        effects = self._live.get(("service.scale", SERVICE), ())
        return sum(int(effect.args.get("replicas", 1)) for effect in effects if effect.start <= now < effect.end)

    def blocks(self, payer: Payer, now: int) -> bool:
        """Whether the edge turns them away."""
        return bool(self._live) and self.active("ip.block", payer.ip, now)

    def challenges(self, payer: Payer, now: int) -> bool:
        """Whether they must prove to be a person before they see a page."""
        if not self._live:
            return False
        unknown = not payer.known and self.active("shop.protect", "shop", now)
        return unknown or self.active("ip.challenge", payer.ip, now)

    def steps_up(self, payer: Payer, now: int) -> bool:
        """Whether they must confirm with a second factor before they sign in or pay."""
        if not self._live:
            return False
        return self.active("device.stepup", payer.device, now) or (
            bool(payer.account) and self.active("account.stepup", payer.account, now)
        )
