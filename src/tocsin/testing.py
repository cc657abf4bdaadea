"""Contract suites for people who write desks, actuators and sources. A check that fails says so in one sentence."""

from __future__ import annotations

import ast
import inspect
import json
import random
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tocsin.core.action import VERBS, Action, action_id
from tocsin.core.desk import Desk, Ratio
from tocsin.core.events import SECOND, Event, Kind, subject_of
from tocsin.core.plan import check_places
from tocsin.core.signal import Decision, signal_id
from tocsin.core.vocabulary import VOCABULARY
from tocsin.flow.batch import FeatureTable, PlainBatch
from tocsin.flow.cel import INCIDENT, RULE, compile_expression
from tocsin.flow.fold import Fold
from tocsin.flow.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.desk import Judgement
    from tocsin.core.events import Field
    from tocsin.core.ports import Actuator, Source
    from tocsin.core.signal import Signal, Text

START = 1_700_000_000 * SECOND
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_IDENTITY = re.compile(r"[0-9a-f]{26}")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


# Desks ------------------------------------------------------------------------------------------------------------


def check_desk(desk: Desk, events: Sequence[Event] = (), *, seed: int = 1) -> None:
    """Check a desk against every law of ``core.desk``.

    ``events`` (stamped) are judged beside made-up ones, so that a desk's own golden stream is under the laws too.
    """
    assert isinstance(desk, Desk), f"{type(desk).__name__} lacks members of core.desk.Desk"
    check_declarations(desk)
    check_texts(desk)
    check_playbooks(desk)
    check_imports(desk)
    Fold([desk])
    check_judge(desk, made_up_events(desk.reads, seed=seed))
    if events:
        check_judge(desk, events)


def check_declarations(desk: Desk) -> None:
    """Names are unique and stand for something; rules and conditions compile."""
    assert _NAME.fullmatch(desk.name), f"desk name {desk.name!r}: lower-case letters, digits and hyphens"
    assert desk.version >= 1 and desk.reads, f"desk {desk.name}: a version from 1 on, and event types that it reads"
    for what in ("windows", "series", "deadlines"):
        names = [one.name for one in getattr(desk, what)]
        assert len(names) == len(set(names)), f"desk {desk.name}: two {what} have the same name"
    features = tuple(window.name for window in desk.windows)
    for ratio in (one for one in desk.windows if isinstance(one, Ratio)):
        assert {ratio.over, ratio.under} <= set(features), f"ratio {ratio.name} names a window that is not declared"
    for rule in desk.rules:
        scope = RULE.narrow([name for name in rule.on or desk.reads if name in VOCABULARY], features)
        compile_expression(rule.when, scope)
    ids = [rule.id for rule in desk.rules]
    assert len(ids) == len(set(ids)), f"desk {desk.name}: two rules have the same id"


def check_texts(desk: Desk) -> None:
    """Everything that people read is there in both languages."""
    texts = {**{f"kind {kind}": text for kind, text in desk.kinds.items()}, **{r.id: r.text for r in desk.rules}}
    texts |= {f"playbook {playbook.name}": playbook.title for playbook in desk.playbooks()}
    for place, text in texts.items():
        _bilingual(text, f"desk {desk.name}, {place}")


def check_playbooks(desk: Desk) -> None:
    """Every kind has a playbook; places and conditions of each playbook are good."""
    playbooks = desk.playbooks()
    answered = {kind for playbook in playbooks for kind in playbook.on}
    missing = set(desk.kinds) - answered
    assert not missing, f"desk {desk.name}: no playbook answers {', '.join(sorted(missing))}"
    for playbook in playbooks:
        check_places(playbook)
        for condition in (playbook.when, *(step.when for step in playbook.steps)):
            if condition:
                compile_expression(condition, INCIDENT)


def check_imports(desk: Desk) -> None:
    """A desk imports only core and methods of ours, and never another desk."""
    module = sys.modules.get(type(desk).__module__)
    path = Path(inspect.getfile(module)) if module is not None and getattr(module, "__file__", None) else None
    if path is None:
        return
    package = type(desk).__module__.rpartition(".")[0]
    own = package if package.count(".") >= 2 else type(desk).__module__
    for source in path.parent.glob("*.py") if package.count(".") >= 2 else [path]:
        for name in _imported(source):
            allowed = name.startswith(("tocsin.core", "tocsin.methods", "tocsin.errors", own))
            assert allowed or not name.startswith("tocsin"), f"{source.name} imports {name}: not a desk's floor"


def _imported(source: Path) -> list[str]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return found + [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def check_judge(desk: Desk, events: Sequence[Event]) -> None:
    """``judge`` is pure: permuted, split or padded, every row says the same; and what it says is well-formed."""
    windows = Windows()
    windows.declare(desk.windows, desk.reads)
    batch = PlainBatch(events)
    table = windows.table(desk.windows, windows.step(batch), batch.n)
    names = table.names
    whole = _by_event(desk.judge(batch, table), events)
    order = list(range(len(events)))
    random.Random(7).shuffle(order)
    half = len(events) // 2
    for how, parts in {
        "permuted": [order],
        "split": [list(range(half)), list(range(half, len(events)))],
        "padded": [[*range(half), *order, *range(half)]],
        "alone": [[number] for number in range(0, len(events), max(1, len(events) // 20))],
    }.items():
        for rows in parts:
            some = [events[row] for row in rows]
            features = FeatureTable(len(rows), {name: table[name].values[rows] for name in names})
            for identity, said in _by_event(desk.judge(PlainBatch(some), features), some).items():
                assert said == whole[identity], f"desk {desk.name}: a row says something else when {how}"
    for _, _, _, signals in whole.values():
        for signal in signals:
            check_signal(desk, signal)


def check_signal(desk: Desk, signal: Signal) -> None:
    """A signal belongs to its desk, its id holds no float, its evidence is plain JSON, its reasons can be read."""
    assert signal.desk == desk.name and signal.kind in desk.kinds, (
        f"{signal.desk}/{signal.kind} is none of {desk.name}'s"
    )
    assert 0.0 <= signal.score <= 1.0, f"signal {signal.kind}: score {signal.score} is not in [0, 1]"
    assert signal.onset <= signal.tau, f"signal {signal.kind}: it began after it was noticed"
    assert _IDENTITY.fullmatch(signal.id), f"signal {signal.kind}: its id is no derived identity"
    known = {signal_id(desk.name, signal.kind, signal.shop, signal.subject, at) for at in (signal.onset, signal.tau)}
    assert signal.id in known, f"signal {signal.kind}: its id derives from desk, kind, shop, subject and bucket alone"
    json.dumps(signal.evidence)
    for reason in signal.reasons:
        _bilingual(reason.text, f"reason {reason.code}")


def _by_event(judged: Judgement, events: Sequence[Event]) -> dict[str, tuple[Any, ...]]:
    signals: dict[int, list[Signal]] = {}
    for row, signal in judged.signals:
        signals.setdefault(row, []).append(signal)
    said = {}
    for row, event in enumerate(events):
        score = float(judged.scores[row])
        said[event.id] = (
            None if np.isnan(score) else round(score, 9),
            judged.decisions.get(row, Decision.ALLOW),
            [(reason.code, reason.text) for reason in judged.reasons.get(row, ())],
            sorted(signals.get(row, ()), key=lambda signal: signal.id),
        )
    return said


def _bilingual(text: Text, place: str) -> None:
    assert text.en.strip() and not _CHINESE.search(text.en), f"{place}: the English text is missing"
    assert _CHINESE.search(text.zh), f"{place}: the Chinese text is missing"


def made_up_events(types: Sequence[str], *, seed: int = 1, count: int = 400) -> list[Event]:
    """Return stamped events of the vocabulary with few distinct keys, so that windows fill; some fields are missing."""
    draws = random.Random(seed)
    known = [name for name in types if name in VOCABULARY]
    events = []
    for number in range(count):
        kind = VOCABULARY[draws.choice(known)] if known else None
        fields = kind.fields if kind else ()
        data = {field.name: _value(field, draws) for field in fields if field.required or draws.random() < 0.8}
        moment = START + number * SECOND // 4
        events.append(
            Event(
                id=f"e{number}", source="made-up", type=kind.name if kind else types[0], time=moment, data=data,
                seq=number + 1, tau=moment,
            )
        )  # fmt: skip
    return events


def _value(field: Field, draws: random.Random) -> Any:
    if field.choices:
        return draws.choice(field.choices)
    if field.name == "status" and field.kind is Kind.INTEGER:
        return draws.choice((200, 200, 301, 404, 404, 500))
    if field.name == "path":
        return draws.choice(
            ("/", f"/product/{draws.randrange(30)}", "/search?q=1' or '1'='1", "/.env", "/a/../../etc/passwd")
        )
    made: dict[Kind, Callable[[], Any]] = {
        Kind.INTEGER: lambda: draws.randrange(1000),
        Kind.NUMBER: lambda: round(draws.uniform(0, 100), 3),
        Kind.MONEY: lambda: draws.randrange(1, 500_000),
        Kind.CURRENCY: lambda: "CNY",
        Kind.BOOLEAN: lambda: draws.random() < 0.3,
        Kind.TIME: lambda: START + draws.randrange(3600) * SECOND,
        Kind.KEY: lambda: f"{field.name}-{draws.randrange(3)}",
        Kind.IP: lambda: f"203.0.113.{draws.randrange(3)}",
        Kind.ITEMS: lambda: [{"sku": f"sku-{draws.randrange(3)}", "quantity": 1, "price": draws.randrange(1, 9000)}],
        Kind.TEXTS: lambda: [f"text-{draws.randrange(3)}"],
        Kind.OBJECT: lambda: {"a": "b"},
    }
    return made.get(field.kind, lambda: f"{field.name}-{draws.randrange(4)}")()


# Actuators --------------------------------------------------------------------------------------------------------


def made_up_action(verb: str = "ip.block", number: int = 1) -> Action:
    """Return an action that an actuator can be tried with; another number is another action."""
    entity = VERBS[verb].target or "shop"
    target = subject_of(entity, f"203.0.113.{number}" if entity == "ip" else f"{entity}-{number}")
    return Action(
        id=action_id("incident", "playbook", 1, verb, target), shop="default", incident="incident", playbook="playbook",
        step=1, verb=verb, target=target, args={"reason": "trial"}, ttl_s=VERBS[verb].ttl_s,
    )  # fmt: skip


def check_actuator(actuator: Actuator, effects: Callable[[], int]) -> None:
    """Check that doing and undoing is idempotent: a repeated call gives the same receipt and no second effect.

    ``effects`` returns how many effects the other side has seen so far, do and undo each counting one.
    """
    assert actuator.name and actuator.verbs <= set(VERBS), (
        f"actuator {actuator.name!r}: it names verbs that do not exist"
    )
    verb = sorted(actuator.verbs)[0] if "ip.block" not in actuator.verbs else "ip.block"
    action, before = made_up_action(verb), effects()
    first = actuator.do(action, {"key": "clear"})
    assert first.ok, f"{actuator.name}: {first.detail}"
    assert actuator.do(action, {"key": "clear"}) == first, f"{actuator.name}: a repeated do gives another receipt"
    assert effects() == before + 1, f"{actuator.name}: a repeated do has a second effect"
    back = actuator.undo(action)
    assert back.ok, f"{actuator.name}: {back.detail}"
    assert actuator.undo(action) == back, f"{actuator.name}: a repeated undo gives another receipt"
    assert effects() == before + 2, f"{actuator.name}: a repeated undo has a second effect"
    assert actuator.do(made_up_action(verb, 2), {}).ok, f"{actuator.name}: another action is not a repetition"
    assert effects() == before + 3, f"{actuator.name}: another action has no effect of its own"


class LoopbackReceiver:
    """A receiver of the actuator protocol on 127.0.0.1: verifies signatures, answers a repeated id as before.

    ``answers`` are statuses given before anything is done, oldest first (to try retries); ``refused`` counts bad
    signatures. Use it as a context manager; ``url`` is where to post.
    """

    def __init__(self, secret: str, answers: Sequence[int] = (), delay_s: float = 0.0) -> None:
        self.effects: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.refused = 0
        self._answers = list(answers)
        self._signer = Webhook(secret)
        self._stop = threading.Event()
        self._delay_s = delay_s
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/actions"

    def __enter__(self) -> LoopbackReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.calls += 1
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        status, answer = self._answer(body, dict(request.headers))
        self._stop.wait(self._delay_s)
        content = msgspec.json.encode(answer)
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            document = self._signer.verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return 401, {"ok": False, "detail": "bad signature"}
        if self._answers:
            return self._answers.pop(0), {"ok": False}
        identity = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        self.effects.setdefault(identity, document)
        return 200, {"ok": True, "ref": f"ref-{identity}"}


# Sources ----------------------------------------------------------------------------------------------------------


def check_source(make: Callable[[], Source]) -> None:
    """Check that a source reads the same documents each time, in order, with the line each came from."""
    first, second = list(make().read()), list(make().read())
    assert first == second, "a source reads the same file twice in two ways"
    lines = [line for line, _ in first]
    assert lines == sorted(lines) and all(line >= 1 for line in lines), "lines are numbered from 1 and ascend"
    for line, document in first:
        assert isinstance(document, dict), f"line {line}: an event document is an object"
