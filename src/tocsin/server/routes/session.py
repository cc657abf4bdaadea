"""Session: sign in, look who one is, change the password, sign out."""

import asyncio
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from tocsin.core.records import Session, User
from tocsin.server import governance, shapes
from tocsin.server.access import COOKIE
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house, raw_body, read, reply

if TYPE_CHECKING:
    from tocsin.server.accounts import Accounts

router = APIRouter(tags=["session"])
Body = Annotated[bytes, Depends(raw_body)]

AT_ONCE = 2
"""Sign-ins that are checked at the same time: the hash is slow on purpose, the other callers must not wait for it."""
MOST_WAITING = 20


@router.post("/v1/session", **doc(governance.SessionView, governance.SignIn))
async def sign_in(request: Request, body: Body) -> Response:
    """Sign in: sets the cookie. 401 for any wrong pair, 429 after too many."""
    wish = read(body, governance.SignIn)
    state = request.app.state
    if state.signing_in >= MOST_WAITING:
        raise Refusal(429, "throttled", "too many sign-ins at once; try again", headers={"retry-after": "5"})
    state.signing_in += 1
    try:
        async with state.sign_in_slots:
            token, session, user = await asyncio.to_thread(_accounts(request).sign_in, wish.user, wish.password)
    finally:
        state.signing_in -= 1
    answer = reply(_view(request, session, user))
    answer.set_cookie(
        COOKIE,
        token,
        max_age=house(request).settings.session_hours * 3600,
        path="/",
        # Behind a proxy with TLS the browser's Origin still says how it came; the gate has checked that it is ours.
        secure=request.headers.get("origin", str(request.url)).startswith("https:"),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.get("/v1/session", **doc(governance.SessionView))
def who(request: Request) -> Response:
    """Return who is signed in; 401 where nobody is."""
    _people_only(request)
    return reply(_view(request, request.state.session, request.state.user))


@router.delete("/v1/session", **doc(shapes.Done))
def sign_out(request: Request) -> Response:
    """Sign out: the session ends here, not only in the browser."""
    _people_only(request)
    _accounts(request).sign_out(request.state.session)
    answer = reply(shapes.Done(ok=True))
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


@router.post("/v1/session/password", **doc(governance.SessionView, governance.NewPassword))
def password(request: Request, body: Body) -> Response:
    """Change one's own password; all other sessions of the person end."""
    _people_only(request)
    wish = read(body, governance.NewPassword)
    session: Session = request.state.session
    user = _accounts(request).change_password(request.state.user, wish.old, wish.new, keep=session.id)
    return reply(_view(request, session, user))


def _people_only(request: Request) -> None:
    if request.state.session is None:
        raise Refusal(401, "signed-out", "sign in first")


def _view(request: Request, session: Session, user: User) -> governance.SessionView:
    return governance.SessionView(
        user=user.id,
        role=user.role,
        must_change=user.must_change,
        csrf=session.csrf,
        language=user.language or house(request).settings.language,
        expires=session.expires,
    )


def _accounts(request: Request) -> "Accounts":
    return cast("Accounts", request.app.state.accounts)
