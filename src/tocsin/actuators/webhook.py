"""The webhook actuator: tells another system over HTTP, signed as Standard Webhooks say (standardwebhooks.com).

``POST url`` with ``webhook-id`` = ``<action id>.do`` or ``.undo``, ``webhook-timestamp`` and ``webhook-signature``,
body ``{"type": "action.do", "action": {"id", "shop", "verb", "target", "key", "args", "ttl_s", "incident"}}``. The
receiver answers 2xx with ``{"ok": true, "ref": "..."}`` and treats a repeated webhook-id as the call it has seen.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tocsin.core.action import VERBS, Action, Receipt
from tocsin.core.events import Entity, split_subject
from tocsin.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_PSEUDONYMS = frozenset({Entity.ACCOUNT, Entity.DEVICE, Entity.CARD, Entity.ADDRESS, Entity.SESSION})
_PASSING = frozenset({408, 425, 429})
"""Client errors that may pass by themselves; every other 4xx is final."""
_LONGEST_ANSWER = 65_536


class WebhookActuator:
    """Sends each do and undo to one address. Safe to share between threads; ``close`` lets go of the connections.

    Parameters
    ----------
    url
        Absolute http or https address; redirects are not followed.
    secret
        ``whsec_`` and base64, or base64 alone.
    timeout_s
        Bound of connecting, and of waiting for the answer, each.
    now
        The wall clock that the receiver compares the signature's time with.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        verbs: Iterable[str] = VERBS,
        name: str = "webhook",
        timeout_s: float = 5.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.verbs = frozenset(verbs)
        self._url = _checked(url)
        self._now = now
        try:
            self._signer = Webhook(secret)
        except (ValueError, RuntimeError, EmptyWebhookSecretError) as error:
            raise Misconfigured(
                f"webhook secret: it must be base64, with or without whsec_ before it ({error})"
            ) from error
        self._client = httpx.Client(timeout=httpx.Timeout(timeout_s), follow_redirects=False)

    def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
        """Tell the other side to do it; ``sealed["key"]`` is the target's clear key where the vault could reveal it."""
        return self._send("do", action, sealed.get("key") or open_key(action.target))

    def undo(self, action: Action) -> Receipt:
        """Tell the other side to take it back; it knows the action by its id."""
        return self._send("undo", action, open_key(action.target))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, what: str, action: Action, key: str) -> Receipt:
        message = f"{action.id}.{what}"
        body = msgspec.json.encode({"type": f"action.{what}", "action": _document(action, key)}, order="deterministic")
        moment = self._now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._signer.sign(message, moment, body.decode()),
        }
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return Receipt(ok=False, detail=f"{type(error).__name__}: {error}"[:300], retry=True)
        return receipt_of(answer)


def open_key(target: str) -> str:
    """Return the target's key where it is kept in clear, else an empty string.

    >>> open_key("ip:203.0.113.7"), open_key("account:5f0c")
    ('203.0.113.7', '')
    """
    entity, key = split_subject(target)
    return "" if entity in _PSEUDONYMS else key


def receipt_of(answer: httpx.Response) -> Receipt:
    """Return the receipt of an answer: 2xx with ``ok`` counts; 408, 425, 429 and 5xx may be tried again."""
    detail = f"HTTP {answer.status_code}"
    if not answer.is_success:
        return Receipt(ok=False, detail=detail, retry=answer.is_server_error or answer.status_code in _PASSING)
    document: Any = None
    if answer.content and len(answer.content) <= _LONGEST_ANSWER:
        try:
            document = msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            return Receipt(ok=False, detail=f"{detail}: the answer is no JSON")
    if not isinstance(document, dict):
        return Receipt(ok=not answer.content, detail=detail)
    return Receipt(
        ok=document.get("ok") is True,
        ref=str(document.get("ref", "")),
        detail=str(document.get("detail", detail))[:300],
    )


def _document(action: Action, key: str) -> dict[str, Any]:
    return {
        "id": action.id,
        "shop": action.shop,
        "verb": action.verb,
        "target": action.target,
        "key": key,
        "args": action.args,
        "ttl_s": action.ttl_s,
        "incident": action.incident,
    }


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Misconfigured(f"webhook address {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Misconfigured(f"webhook address {url!r}: it must be an absolute http or https address")
    return url
