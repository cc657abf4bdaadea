"""Access: the one table of who may call what, and the gate that reads it.

A route that is not in the table cannot be served: ``covered`` is called when the app is built.
"""

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from tocsin.core.records import Person, Role
from tocsin.errors import Misconfigured
from tocsin.server.problems import Refusal

if TYPE_CHECKING:
    from tocsin.server.accounts import Accounts

COOKIE = "tocsin_session"
CSRF_HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Access(msgspec.Struct, frozen=True):
    """Who may: people from ``role`` on (None: everybody, signed in or not), keys with one of ``scopes``."""

    role: Role | None
    scopes: frozenset[str] = frozenset()
    before_change: bool = False
    """Whether it is open to someone who must change the password first."""


_ALL = Access(None)
_OWN = Access(Role.VIEWER, before_change=True)
_LOOK = Access(Role.VIEWER, frozenset({"read"}))
_ACT = Access(Role.RESPONDER, frozenset({"act"}))
_RUN = Access(Role.ADMIN)

ACCESS: dict[tuple[str, str], Access] = {
    ("POST", "/v1/session"): _ALL,
    ("GET", "/v1/session"): _OWN,
    ("DELETE", "/v1/session"): _OWN,
    ("POST", "/v1/session/password"): _OWN,
    ("GET", "/v1/overview"): _LOOK,
    ("GET", "/v1/series"): _LOOK,
    ("GET", "/v1/live"): _LOOK,
    ("GET", "/v1/incidents"): _LOOK,
    ("GET", "/v1/incidents/{id}"): _LOOK,
    ("POST", "/v1/incidents/{id}/label"): _ACT,
    ("POST", "/v1/incidents/{id}/phase"): _ACT,
    ("GET", "/v1/actions"): _LOOK,
    ("POST", "/v1/actions/{id}/approve"): _ACT,
    ("POST", "/v1/actions/{id}/deny"): _ACT,
    ("POST", "/v1/actions/{id}/undo"): _ACT,
    ("GET", "/v1/verdicts"): _LOOK,
    ("GET", "/v1/verdicts/{id}"): Access(Role.VIEWER, frozenset({"read", "verdicts"})),
    ("GET", "/v1/dead-letters"): _LOOK,
    ("GET", "/v1/dead-letters/{id}"): _LOOK,
    ("POST", "/v1/dead-letters/{id}/retry"): _ACT,
    ("POST", "/v1/dead-letters/{id}/discard"): _ACT,
    ("GET", "/v1/automation"): _LOOK,
    ("PUT", "/v1/automation/playbooks/{name}"): _RUN,
    ("PUT", "/v1/automation/verbs/{name}"): _RUN,
    ("PUT", "/v1/automation/protected"): _RUN,
    ("PUT", "/v1/automation/verdicts"): _RUN,
    # Whoever may act may stop everything; to go on is an admin's decision, checked in the route.
    ("POST", "/v1/automation/kill"): _ACT,
    ("GET", "/v1/rules"): _LOOK,
    ("POST", "/v1/rules/check"): _LOOK,
    ("PUT", "/v1/rules/{id}"): _RUN,
    ("GET", "/v1/plane"): _LOOK,
    ("GET", "/v1/windows"): _LOOK,
    ("PUT", "/v1/windows/{name}"): _RUN,
    ("DELETE", "/v1/windows/{name}"): _RUN,
    ("GET", "/v1/playbooks/{name}"): _LOOK,
    ("PUT", "/v1/playbooks/{name}"): _RUN,
    ("GET", "/v1/lists"): _LOOK,
    ("PUT", "/v1/lists/{name}"): _ACT,
    ("DELETE", "/v1/lists/{name}"): _ACT,
    ("GET", "/v1/schemas"): _ALL,
    ("GET", "/v1/schemas/{type}"): _ALL,
    ("GET", "/v1/users"): _RUN,
    ("POST", "/v1/users"): _RUN,
    ("POST", "/v1/users/{id}/password"): _RUN,
    ("DELETE", "/v1/users/{id}"): _RUN,
    ("GET", "/v1/keys"): _RUN,
    ("POST", "/v1/keys"): _RUN,
    ("DELETE", "/v1/keys/{id}"): _RUN,
    ("GET", "/v1/audit"): _RUN,
    ("GET", "/openapi.json"): _ALL,
    ("GET", "/healthz"): _ALL,
    ("GET", "/readyz"): _ALL,
    ("GET", "/metrics"): _ALL,
}


def covered(routes: Iterable[BaseRoute]) -> None:
    """Stop with Misconfigured where a route has no row in the table, or a row no route."""
    served = {(method, route.path) for route in routes if isinstance(route, APIRoute) for method in route.methods or ()}
    if served != ACCESS.keys():
        names = ", ".join(f"{method} {path}" for method, path in sorted(served ^ ACCESS.keys()))
        raise Misconfigured(f"access: routes and server/access.py differ in {names}")


def gate(request: Request) -> None:
    """Let the caller of a route in, or refuse; puts the person, session and user on ``request.state``."""
    access = ACCESS[(request.method, request.scope["route"].path)]
    request.state.session = request.state.user = None
    request.state.person = Person(name="", role=Role.VIEWER)
    if access.role is None:
        if request.method not in SAFE:
            same_origin(request)
        return
    token = bearer(request.headers.get("authorization", ""))
    if token:
        request.state.person = _machine(request, token, access)
        return
    _browser(request, access, access.role)


def bearer(header: str) -> str:
    """Return the token of an Authorization header of scheme Bearer, or nothing."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same_origin(request: Request) -> None:
    """Refuse a write that another site's page sent."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
        raise Refusal(403, "cross-site", "this request comes from another site")


def _machine(request: Request, token: str, access: Access) -> Person:
    key = _accounts(request).key(token)
    if key is None:
        raise Refusal(401, "unknown-key", "this key is unknown or was revoked")
    if access.scopes.isdisjoint(key.scopes):
        wanted = " or ".join(sorted(access.scopes))
        detail = f"this key lacks the scope {wanted}" if wanted else "keys may not do this; sign in as an admin"
        raise Refusal(403, "scope", detail)
    role = Role.RESPONDER if "act" in key.scopes else Role.VIEWER
    return Person(name=f"key:{key.name}", role=role, shop=key.shop)


def _browser(request: Request, access: Access, role: Role) -> None:
    found = _accounts(request).session(request.cookies.get(COOKIE, ""))
    if found is None:
        raise Refusal(401, "signed-out", "sign in first")
    session, user = found
    if request.method not in SAFE:
        same_origin(request)
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
            raise Refusal(403, "csrf", "the header X-CSRF-Token is missing or of another session")
    if user.must_change and not access.before_change:
        raise Refusal(403, "password-change-required", "change the password first")
    if user.role.rank < role.rank:
        raise Refusal(403, "role", f"this needs the role {role.value}")
    request.state.session, request.state.user = session, user
    request.state.person = Person(name=user.id, role=user.role)


def _accounts(request: Request) -> "Accounts":
    return cast("Accounts", request.app.state.accounts)
