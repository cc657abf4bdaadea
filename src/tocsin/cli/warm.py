"""``tocsin warm``: compiles the kernels of the data plane, once an installation, so that no start has to."""

from __future__ import annotations

import tempfile
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tocsin.core.desk import Aggregate, Window
from tocsin.core.events import SECOND, Event
from tocsin.flow.wide.jit import AVAILABLE, SOURCES
from tocsin.methods.kernels import sweep

if TYPE_CHECKING:
    from tocsin.app import Tocsin

_MODULES = (
    "tocsin.flow.machine.kernel",
    "tocsin.flow.wide.blake",
    "tocsin.flow.wide.cell_words",
    "tocsin.flow.wide.clean",
    "tocsin.flow.wide.deadlines",
    "tocsin.flow.wide.scan_warm",
    "tocsin.flow.wide.series",
    "tocsin.flow.wide.sketch",
    "tocsin.flow.wide.windows",
    "tocsin.methods.halfspace",
    "tocsin.methods.trees_forest",
    "tocsin.runtime.widestamping",
)
MACHINE, METHODS = SOURCES.parent / "machine", SOURCES.parents[1] / "methods"
_PERSON = {"account": "a1", "device": "d1", "ip": "203.0.113.7", "session": "s1"}
_LINES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("http.request", {"ip": "2001:db8::1", "path": "/p/1?q=2", "status": 200, "user_agent": "Mozilla/5.0"}),
    ("session.viewed", {**_PERSON, "sku": "k1", "page": "product", "duration_ms": 12}),
    ("cart.changed", {**_PERSON, "sku": "k1", "quantity": 1, "price": 100, "currency": "CNY"}),
    ("payment.attempted", {**_PERSON, "card": "c1", "amount": 900, "currency": "CNY", "status": "declined"}),
    ("payment.attempted", {**_PERSON, "card": "c1", "amount": 900, "currency": "EUR", "status": "pending"}),
    ("order.placed", {**_PERSON, "order": 7, "amount": 5, "items": [{"sku": "k1", "quantity": 2, "price": 3}]}),
    ("account.login", {**_PERSON, "success": False}),
    ("label.given", {"of": "x", "label": "fraud", "account": "a1", "amount": 5}),
    ("search.performed", {**_PERSON, "query": '手机壳 "防摔"'}),
    ("metric.sampled", {"metric": "queue", "value": 1.25}),
)
_DAY_S = 86_400
_WINDOWS = tuple(
    Window(name=f"warm_{fold}_{span}_{delay}", fold=fold, by="card", span_s=span, delay_s=delay, of=of, field=field)
    for fold, field in (
        (Aggregate.COUNT, ""),
        (Aggregate.SUM, "amount"),
        (Aggregate.STD, "amount"),
        (Aggregate.DISTINCT, "ip"),
        (Aggregate.RECENCY, ""),
    )
    for span in (60, _DAY_S)
    for delay in (0, 60)
    for of in (("payment.attempted",),)
)


@click.command()
@click.option("--quiet", is_flag=True, help="Print nothing.")
def command(quiet: bool) -> None:
    """Compile the kernels of the data plane."""
    began = time.perf_counter()
    if not AVAILABLE:
        click.echo("numba is not installed, or TOCSIN_PLAIN is set: the plain plane needs no kernels")
        return
    warm()
    if not quiet:
        click.echo(f"kernels are compiled ({time.perf_counter() - began:.0f} s)")


def warm() -> None:
    """Call every kernel once, each on its own and then all together in a house of its own, in memory."""
    from tocsin.app import build
    from tocsin.config import load

    for sources in (SOURCES, MACHINE, METHODS):
        sweep(sources)
    for module in _MODULES:
        import_module(module).warm()
    with tempfile.TemporaryDirectory() as folder:
        settings = load({"data_dir": folder, "snapshot_minutes": 1e9}, environ={})
        first = build(settings)
        first.start()
        try:
            _feed(first)
        finally:
            first.stop()
        # Once more from its snapshot and journal: reading has kernels of its own.
        again = build(settings)
        again.start()
        again.stop()


def _feed(tocsin: Tocsin) -> None:
    tocsin.configure("tocsin.windows", {"windows": msgspec.to_builtins(_WINDOWS)}, "warm").result(600)
    for round_ in range(3):
        now = tocsin.clock.now()
        documents = [
            {"id": f"{round_}-{n}", "source": "warm", "type": kind, "time": now - SECOND, "data": data}
            for n, (kind, data) in enumerate(_LINES * 3)
        ]
        body = b"\n".join(msgspec.json.encode(document) for document in documents)
        if tocsin.host.wide is not None:
            tocsin.host.wide.submit(body, tocsin.settings.shop).result(600)
        events = [
            Event(id=f"v{round_}-{n}", source="warm", type=kind, time=now, data=data, shop=tocsin.settings.shop)
            for n, (kind, data) in enumerate(_LINES[:6])
        ]
        for event in events:
            tocsin.host.verdict(event).future.result(600)
        tocsin.host.submit(events).result(600)
    tocsin.host.settle().result(600)
