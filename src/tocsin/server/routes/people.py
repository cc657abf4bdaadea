"""People, machines' keys, and the audit trail: for admins."""

from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from tocsin.core.records import ApiKey, Audit, User
from tocsin.server import governance, shapes
from tocsin.server.pages import After, Limit, Search
from tocsin.server.replies import doc, house, person, raw_body, read, reply

if TYPE_CHECKING:
    from tocsin.server.accounts import Accounts

router = APIRouter(tags=["people"])
Body = Annotated[bytes, Depends(raw_body)]


@router.get("/v1/users", **doc(governance.UserPage))
def users(request: Request) -> Response:
    """List all people."""
    found = house(request).records.table(User).find(order="id", limit=1000)
    return reply(
        governance.UserPage(
            items=tuple(
                governance.UserView(
                    id=user.id,
                    role=user.role,
                    must_change=user.must_change,
                    language=user.language,
                    created=user.created,
                )
                for user in found
            )
        )
    )


@router.post("/v1/users", **doc(governance.Once, governance.NewUser, status=201))
def add_user(request: Request, body: Body) -> Response:
    """Add a person; the generated password is shown this once and must be changed at the first sign-in."""
    wish = read(body, governance.NewUser)
    secret = _accounts(request).add(wish.id, wish.role, who=person(request).name, language=wish.language)
    return reply(governance.Once(id=wish.id, secret=secret), 201)


@router.post("/v1/users/{id}/password", **doc(governance.Once))
def reset(request: Request, id: str) -> Response:
    """Give a person a fresh password, shown this once; their sessions end."""
    return reply(governance.Once(id=id, secret=_accounts(request).reset(id, who=person(request).name)))


@router.delete("/v1/users/{id}", **doc(shapes.Done))
def remove(request: Request, id: str) -> Response:
    """Remove a person; the last admin stays."""
    _accounts(request).remove(id, who=person(request).name)
    return reply(shapes.Done(ok=True))


@router.get("/v1/keys", **doc(governance.KeyPage))
def keys(request: Request) -> Response:
    """List all API keys, revoked ones too."""
    found = house(request).records.table(ApiKey).find(order="-created", limit=1000)
    return reply(governance.KeyPage(items=tuple(_key(key) for key in found)))


@router.post("/v1/keys", **doc(governance.Once, governance.NewKey, status=201))
def make_key(request: Request, body: Body) -> Response:
    """Make an API key; its token is shown this once."""
    wish = read(body, governance.NewKey)
    shop = wish.shop or house(request).settings.shop
    scopes = [scope.value for scope in wish.scopes]
    token, key = _accounts(request).make_key(wish.name, scopes, shop=shop, who=person(request).name)
    return reply(governance.Once(id=key.id, secret=token), 201)


@router.delete("/v1/keys/{id}", **doc(governance.KeyView))
def revoke(request: Request, id: str) -> Response:
    """Revoke an API key at once."""
    return reply(_key(_accounts(request).revoke(id, who=person(request).name)))


@router.get("/v1/audit", **doc(governance.AuditPage))
def audit(
    request: Request,
    who: Annotated[str, Query(description="one person or key")] = "",
    q: Search = "",
    limit: Limit = 100,
    after: After = "",
) -> Response:
    """List who did what, newest first."""
    where = {"who": who} if who else {}
    found = house(request).records.table(Audit).find(where, order="-id", limit=limit, after=after, search=q)
    return reply(governance.AuditPage(items=tuple(found), next=found.next))


def _key(key: ApiKey) -> governance.KeyView:
    return governance.KeyView(
        id=key.id, name=key.name, shop=key.shop, scopes=key.scopes, created=key.created, revoked=key.revoked
    )


def _accounts(request: Request) -> "Accounts":
    return cast("Accounts", request.app.state.accounts)
