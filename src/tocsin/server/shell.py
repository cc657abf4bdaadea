"""The shell around all doors: trusted hosts and security headers.

References: OWASP Secure Headers; the console's components write styles at run time, hence ``style-src 'unsafe-inline'``
(scripts stay closed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.server.problems import headers_of, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin.server.bodies import Message, Receive, Scope, Send

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
)
PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by supervisors under whatever name the machine has."""


MOST_KNOWN = 256


class Shell:
    """Wraps an app: refuses foreign host names, adds the security headers to every answer (the intake adds its own)."""

    def __init__(self, app: App, trusted_hosts: str) -> None:
        self._app = app
        self._trusted = frozenset(name.strip().lower() for name in trusted_hosts.split(",") if name.strip())
        self._known: set[bytes] = set()
        """Host headers that were found to be trusted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *SECURITY]
            await send(message)

        if scope["path"] not in PROBES and not self.trusts(scope):
            found = problem(400, "host", "this host name is not trusted; add it to the setting trusted_hosts")
            headers = [(name.encode(), value.encode()) for name, value in headers_of(found).items()]
            await guarded({"type": "http.response.start", "status": 400, "headers": headers})
            await guarded({"type": "http.response.body", "body": msgspec.json.encode(found)})
            return
        await self._app(scope, receive, guarded)

    def trusts(self, scope: Scope) -> bool:
        """Return whether a request names a host of this installation."""
        if "*" in self._trusted:
            return True
        for name, value in scope["headers"]:
            if name == b"host":
                if value in self._known:
                    return True
                host = value.decode("latin-1").lower()
                bare = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
                trusts = bare in self._trusted
                if trusts and len(self._known) < MOST_KNOWN:
                    self._known.add(value)
                return trusts
        return False
