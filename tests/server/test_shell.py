"""Around the doors: host names, headers, probes, metrics, the console's files, the OpenAPI document."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.core.records import Role
from tocsin.core.vocabulary import VOCABULARY
from tocsin.server.api import console_api
from tocsin.server.main import Web
from tocsin.server.schema import document, written
from tocsin.server.static import console_file

from .conftest import Site, eventually

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_every_answer_carries_the_security_headers(site: Site) -> None:
    """Of the hot path, the API, the files and the refusals."""
    with site.client() as http:
        for answer in (http.get("/"), http.get("/healthz"), http.post("/v1/events"), http.get("/v1/overview")):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
            assert "script-src 'self';" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("localhost:8700", True), ("127.0.0.1", True), ("[::1]:8700", True), ("evil.example", False), ("", False)],
)
def test_foreign_host_names_are_refused(site: Site, host: str, trusted: bool) -> None:
    """A page that rebinds its name to this machine gets nothing; supervisors' probes may use any name."""
    with site.client() as http:
        assert (http.get("/v1/schemas", headers={"Host": host}).status_code == 200) is trusted
        if host:
            assert http.get("/healthz", headers={"Host": host}).status_code == 200


def test_unknown_addresses_of_the_api_are_problems(site: Site) -> None:
    """404 and 405 are problem+json, too."""
    with site.client() as http:
        for method, path, status in (("GET", "/v1/nothing", 404), ("PATCH", "/v1/incidents", 405)):
            answer = http.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_metrics_are_prometheus_text(site: Site) -> None:
    """Prometheus' own parser reads them; counters agree with the house."""
    with site.machine() as http:
        http.post("/v1/events", json=site.payment())
        families = {one.name: one for one in text_string_to_metric_families(http.get("/metrics").text)}
    assert families["tocsin_accepted"].samples[0].value == site.tocsin.host.counters["accepted"]
    assert {"tocsin_requests", "tocsin_verdict_seconds", "tocsin_queue_events", "tocsin_kill_switch"} <= families.keys()


def test_event_schemas_are_served(site: Site) -> None:
    """Every type of the vocabulary is listed and has its document."""
    with site.client() as http:
        listed = http.get("/v1/schemas").json()["items"]
        assert {one["type"] for one in listed} == VOCABULARY.keys()
        schema = http.get("/v1/schemas/payment.attempted").json()
        assert schema["properties"]["data"]["required"] == ["amount"]
        assert http.get("/v1/schemas/no.type").status_code == 404


# The console's files --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>console</title>")
    (tmp_path / "assets" / "app-1a2b.js").write_text("1")
    (tmp_path.parent / "secret.txt").write_text("no")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "file", "status", "keep"),
    [
        ("/", "index.html", 200, "no-cache"),
        ("/incidents/5", "index.html", 200, "no-cache"),
        ("/assets/app-1a2b.js", "assets/app-1a2b.js", 200, "public, max-age=31536000, immutable"),
        ("/assets/app-gone.js", "index.html", 404, "no-cache"),
        ("/../secret.txt", "index.html", 200, "no-cache"),
        ("/\0", "index.html", 200, "no-cache"),
    ],
)
def test_the_consoles_files(folder: Path, path: str, file: str, status: int, keep: str) -> None:
    """Client routes get the page, hashed assets are kept for a year, nothing outside the folder is served."""
    answer = console_file(path, folder)
    assert Path(str(answer.path)) == (folder / file).resolve() or Path(str(answer.path)) == folder / file
    assert (answer.status_code, answer.headers["cache-control"]) == (status, keep)


def test_without_a_console_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    """In both languages."""
    body = bytes(console_file("/", tmp_path).body).decode()
    assert "make setup" in body and "控制台" in body


# The document ---------------------------------------------------------------------------------------------------


def test_the_committed_document_is_current() -> None:
    """docs/openapi.json is what `tocsin openapi` writes."""
    assert DOCUMENT.read_bytes() == written(console_api()), "run: tocsin openapi > docs/openapi.json"


def test_the_document_is_complete_and_closed() -> None:
    """OpenAPI 3.1; every reference leads somewhere; every operation has an id of its own, an answer and a problem."""
    found = document(console_api())
    assert found["openapi"].startswith("3.1")
    text = json.dumps(found)
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= found["components"]["schemas"].keys()
    operations = [one for item in found["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert any(status.startswith("2") for status in one["responses"])
        assert one["responses"]["default"]["content"].keys() == {"application/problem+json"}
    for name, schema in found["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema({**schema, "$id": f"urn:test:{name}"})


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/overview", "/v1/overview"),
        ("/v1/incidents", "/v1/incidents"),
        ("/v1/verdicts", "/v1/verdicts"),
        ("/v1/automation", "/v1/automation"),
        ("/v1/rules", "/v1/rules"),
        ("/v1/playbooks/pause", "/v1/playbooks/{name}"),
        ("/v1/dead-letters", "/v1/dead-letters"),
        ("/v1/users", "/v1/users"),
        ("/v1/audit", "/v1/audit"),
        ("/v1/session", "/v1/session"),
    ],
)
def test_answers_are_what_the_document_says(site: Site, path: str, template: str) -> None:
    """Each answer validates against its schema: types made from the document are right, every field is there."""
    found = document(console_api())
    with site.machine() as http:
        http.post("/v1/verdicts", json=site.payment(amount=100_000))
    answer = site.browser(Role.ADMIN).get(path)
    assert answer.status_code == 200
    content = found["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": found["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


# Stopping -------------------------------------------------------------------------------------------------------


_PROGRAM = """
import sys
from tocsin.app import build
from tocsin.config import load
from tocsin.server.main import serve
tocsin = build(load({"data_dir": sys.argv[1], "port": int(sys.argv[2])}, {}), desks=[])
tocsin.start()
token, _ = None, None
def ready(web):
    token, _ = web.accounts.make_key("t", ["events", "read"], shop="default", who="test")
    print(token, flush=True)
serve(tocsin, "127.0.0.1", int(sys.argv[2]), ready=ready)
tocsin.stop()
print("stopped", flush=True)
"""


def test_sigterm_ends_streams_finishes_answers_and_stops(tmp_path: Path) -> None:
    """With a live line open the process ends within seconds, with everything acknowledged on disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [sys.executable, "-c", _PROGRAM, str(tmp_path), str(port)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        token = process.stdout.readline().strip()
        base = {"base_url": f"http://127.0.0.1:{port}", "headers": {"Authorization": f"Bearer {token}"}}
        with httpx.Client(**base) as http, httpx.Client(**base) as other:
            eventually(lambda: _up(http))
            with other.stream("GET", "/v1/live", timeout=20) as stream:
                next(stream.iter_lines())
                event = {"id": "1", "source": "t", "type": "x.y", "data": {}}
                assert http.post("/v1/events", json=event).status_code == 202
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == 0
        assert "stopped" in process.stdout.read()


def _up(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_app_is_plain_asgi(site: Site) -> None:
    """Any ASGI server can host it."""
    assert isinstance(site.web, Web) and callable(site.web)
