"""Who may call what: every route of the table against every role and kind of key."""

from __future__ import annotations

import pytest

from tocsin.core.events import HOUR
from tocsin.core.records import Audit, Role
from tocsin.ledger.audit import verify_audit
from tocsin.server.access import ACCESS, SAFE
from tocsin.server.accounts import FREE_FAILURES

from .conftest import PASSWORD, Site

ROWS = sorted(ACCESS.items())
DENIALS = {"role", "scope", "signed-out", "csrf", "password-change-required"}
ENDLESS = {("GET", "/v1/live"), ("DELETE", "/v1/session"), ("POST", "/v1/session/password"), ("POST", "/v1/session")}


def address(path: str) -> str:
    """Return an address of a route at which there is nothing, so that nothing is changed by asking."""
    return path.replace("{id}", "nobody").replace("{name}", "nothing").replace("{type}", "no.type")


def bounds(route: tuple[str, str]) -> list[Role]:
    """Return the highest role below a route's own, and its own: between them lies the law."""
    needed = ACCESS[route].role
    return [] if needed is None else [role for role in Role if role.rank in (needed.rank - 1, needed.rank)]


PEOPLE = [(route, role) for route, _ in ROWS if route not in ENDLESS for role in bounds(route)]
SCOPES = ("events", "verdicts", "read", "act")


@pytest.mark.parametrize(("route", "role"), PEOPLE, ids=[f"{role} {' '.join(route)}" for route, role in PEOPLE])
def test_people_may_what_their_role_says(site: Site, route: tuple[str, str], role: Role) -> None:
    """A role below the route's is refused for just that reason; from it on the gate is open."""
    method, path = route
    answer = site.browser(role).send(method, address(path), {} if method in ("POST", "PUT") else None)
    needed = ACCESS[route].role
    denied = answer.status_code in (401, 403) and answer.json()["code"] in DENIALS
    assert denied is (needed is not None and role.rank < needed.rank), answer.text


@pytest.mark.parametrize("route", [route for route, _ in ROWS if route not in ENDLESS], ids=" ".join)
def test_keys_may_what_their_scopes_say(site: Site, route: tuple[str, str]) -> None:
    """Keys never administrate; a scope opens only its own routes (asked with all others, then each own)."""
    method, path = route
    row = ACCESS[route]
    others = tuple(scope for scope in SCOPES if scope not in row.scopes)
    for scopes in (others, *((scope,) for scope in sorted(row.scopes))):
        with site.machine(*scopes) as http:
            answer = http.request(method, address(path), json={} if method in ("POST", "PUT") else None)
        denied = answer.status_code == 403 and answer.json()["code"] == "scope"
        assert denied is (row.role is not None and row.scopes.isdisjoint(scopes)), answer.text


@pytest.mark.parametrize(("route", "access"), ROWS, ids=[f"{method} {path}" for (method, path), _ in ROWS])
def test_strangers_see_only_what_is_open(site: Site, route: tuple[str, str], access: object) -> None:
    """Without key and session everything but sign-in, probes, metrics and schemas is 401."""
    if route == ("POST", "/v1/session"):
        return
    method, path = route
    with site.client() as http:
        answer = http.request(method, address(path), json={} if method in ("POST", "PUT") else None)
    assert (answer.status_code == 401) is (ACCESS[route].role is not None), answer.text


WRITES = [route for route, row in ROWS if route[0] not in SAFE and row.role is not None]


@pytest.mark.parametrize("route", WRITES, ids=" ".join)
def test_a_write_needs_the_csrf_token(site: Site, route: tuple[str, str]) -> None:
    """The cookie alone is not enough to change anything, nor with a wrong token."""
    method, path = route
    http = site.browser(Role.ADMIN).http
    headers = {"X-CSRF-Token": "wrong"} if WRITES.index(route) % 2 else {}
    answer = http.request(method, address(path), json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


def test_another_sites_page_cannot_write(site: Site) -> None:
    """Even with cookie and token an Origin of elsewhere is refused; also at sign-in."""
    browser = site.browser(Role.ADMIN)
    headers = {"X-CSRF-Token": browser.csrf, "Origin": "https://evil.example"}
    assert browser.http.post("/v1/users", json={}, headers=headers).json()["code"] == "cross-site"
    body = {"user": "admin", "password": PASSWORD}
    with site.client() as http:
        answer = http.post("/v1/session", json=body, headers={"Origin": "https://evil.example"})
        assert answer.json()["code"] == "cross-site"
        plain = http.post("/v1/session", json=body, headers={"Origin": site.url})
        assert plain.status_code == 200 and "Secure" not in plain.headers["set-cookie"]
        tls = http.post("/v1/session", json=body, headers={"Origin": site.url.replace("http:", "https:")})
        assert "Secure" in tls.headers["set-cookie"]


# Signing in -----------------------------------------------------------------------------------------------------


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    """HttpOnly, SameSite=Strict, for the whole site; the token itself is not in the records."""
    site.browser(Role.VIEWER)
    with site.client() as http:
        answer = http.post("/v1/session", json={"user": "viewer", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert token not in answer.text


def test_the_first_password_must_be_changed(site: Site) -> None:
    """Until then nothing but looking at oneself, changing it and leaving."""
    secret = site.web.accounts.add("newcomer", Role.ADMIN, who="test")
    with site.client() as http:
        signed = http.post("/v1/session", json={"user": "newcomer", "password": secret}).json()
        assert signed["must_change"] is True
        assert http.get("/v1/session").json()["user"] == "newcomer"
        refused = http.get("/v1/overview")
        assert (refused.status_code, refused.json()["code"]) == (403, "password-change-required")
        http.headers["X-CSRF-Token"] = signed["csrf"]
        for new, code in (
            ("short", "weak-password"),
            (secret, "weak-password"),
            ("newcomer newcomer", "weak-password"),
            ("aaaaaaaaaaaaaaa", "weak-password"),
        ):
            answer = http.post("/v1/session/password", json={"old": secret, "new": new})
            assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, "new")
        wrong = http.post("/v1/session/password", json={"old": "nonsense", "new": PASSWORD})
        assert (wrong.status_code, wrong.json()["field"]) == (403, "old")
        assert http.post("/v1/session/password", json={"old": secret, "new": PASSWORD}).json()["must_change"] is False
        assert http.get("/v1/overview").status_code == 200


def test_a_change_of_password_ends_the_other_sessions(site: Site) -> None:
    """Whoever had got in is out."""
    secret = site.web.accounts.add("mover", Role.VIEWER, who="test")
    with site.client() as one, site.client() as other:
        csrf = one.post("/v1/session", json={"user": "mover", "password": secret}).json()["csrf"]
        other.post("/v1/session", json={"user": "mover", "password": secret})
        one.post(
            "/v1/session/password", json={"old": secret, "new": PASSWORD}, headers={"X-CSRF-Token": csrf}
        ).raise_for_status()
        assert one.get("/v1/session").status_code == 200
        assert other.get("/v1/session").status_code == 401


def test_signing_out_ends_the_session_on_the_server(site: Site) -> None:
    """A copied cookie is worth nothing afterwards."""
    secret = site.web.accounts.add("leaver", Role.VIEWER, who="test")
    with site.client() as http:
        csrf = http.post("/v1/session", json={"user": "leaver", "password": secret}).json()["csrf"]
        token = http.cookies["tocsin_session"]
        assert http.delete("/v1/session", headers={"X-CSRF-Token": csrf}).json() == {"ok": True}
        http.cookies.set("tocsin_session", token)
        assert http.get("/v1/session").status_code == 401


def test_a_session_expires(site: Site) -> None:
    """After the configured hours the cookie opens nothing."""
    secret = site.web.accounts.add("sleeper", Role.VIEWER, who="test")
    with site.client() as http:
        http.post("/v1/session", json={"user": "sleeper", "password": secret})
        assert http.get("/v1/session").status_code == 200
        site.clock.ahead += 13 * HOUR
        try:
            assert http.get("/v1/session").status_code == 401
        finally:
            site.clock.ahead -= 13 * HOUR


@pytest.mark.parametrize("known", [True, False])
def test_failures_lock_a_name_for_a_growing_time_whether_it_exists_or_not(site: Site, known: bool) -> None:
    """The fifth failure locks; the answers do not tell which names there are; the right password waits, too."""
    name = "victim" if known else "stranger"
    secret = site.web.accounts.add(name, Role.VIEWER, who="test") if known else "whatever else"
    with site.client() as http:
        for _ in range(FREE_FAILURES):
            wrong = http.post("/v1/session", json={"user": name, "password": "guess"})
            assert (wrong.status_code, wrong.json()["code"]) == (401, "sign-in-failed")
        locked = http.post("/v1/session", json={"user": name, "password": secret})
        assert (locked.status_code, locked.json()["code"]) == (429, "throttled")
        wait = int(locked.headers["retry-after"])
        assert 1 <= wait <= 6
        site.clock.ahead += 7_000_000
        try:
            again = http.post("/v1/session", json={"user": name, "password": "guess"})
            assert again.status_code == 401
            longer = http.post("/v1/session", json={"user": name, "password": secret})
            assert int(longer.headers["retry-after"]) > 6
            site.clock.ahead += 20_000_000
            right = http.post("/v1/session", json={"user": name, "password": secret})
            assert right.status_code == (200 if known else 401)
        finally:
            site.clock.ahead -= 27_000_000


# People, keys, audit --------------------------------------------------------------------------------------------


def test_people_and_keys_are_made_shown_once_and_ended(site: Site) -> None:
    """Secrets are in the one answer that makes them and nowhere else."""
    admin = site.browser(Role.ADMIN)
    made = admin.send("POST", "/v1/users", {"id": "carol", "role": "responder"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert admin.send("POST", "/v1/users", {"id": "carol", "role": "viewer"}).status_code == 409
    assert secret not in admin.get("/v1/users").text
    assert "scrypt" not in admin.get("/v1/users").text
    key = admin.send("POST", "/v1/keys", {"name": "till 1", "scopes": ["read"]}).json()
    with site.client(key["secret"]) as http:
        assert http.get("/v1/overview").status_code == 200
        assert admin.send("DELETE", f"/v1/keys/{key['id']}").json()["revoked"] > 0
        assert http.get("/v1/overview").status_code == 401
    assert key["secret"] not in admin.get("/v1/keys").text
    fresh = admin.send("POST", "/v1/users/carol/password").json()["secret"]
    assert fresh != secret
    assert admin.send("DELETE", "/v1/users/carol").json() == {"ok": True}
    assert admin.send("DELETE", "/v1/users/carol").status_code == 404


def test_the_last_admin_stays(site: Site) -> None:
    """Nobody locks everybody out."""
    admin = site.browser(Role.ADMIN)
    for user in admin.get("/v1/users").json()["items"]:
        if user["role"] == "admin" and user["id"] != "admin":
            admin.send("DELETE", f"/v1/users/{user['id']}")
    assert admin.send("DELETE", "/v1/users/admin").status_code == 409


def test_everything_is_on_the_audit_trail(site: Site) -> None:
    """Who did what; the trail is a whole chain, and no secret is in it."""
    admin = site.browser(Role.ADMIN)
    secret = admin.send("POST", "/v1/users", {"id": "dave", "role": "viewer"}).json()["secret"]
    items = admin.get("/v1/audit", params={"who": "admin"}).json()["items"]
    assert (items[0]["who"], items[0]["what"], items[0]["target"]) == ("admin", "user.added", "dave")
    assert verify_audit(site.tocsin.records) is None
    assert all(secret not in str(one) for one in site.tocsin.records.table(Audit).find(limit=1000))


def test_the_first_admin_is_made_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A fresh installation generates one password; later starts none."""
    from tocsin.ledger.memory import MemoryRecords
    from tocsin.server.accounts import Accounts

    accounts = Accounts(MemoryRecords(), lambda: 1)
    first = accounts.first_password()
    assert len(first) == 23
    assert accounts.first_password() == ""
    assert accounts.sign_in("admin", first)[2].must_change
