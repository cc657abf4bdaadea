"""What the flow benchmarks declare: windows, rules and a desk with a gated model, as a shop on Double 11 would.

``EXACT`` are 22 exact features over ip, session, account and card, from 60 s to 1 h; ``DURABLE`` is 60 s exact and
24 h in hops for ip and account. ``rule_book`` writes as many rules over either as are asked for; ``BenchDesk`` lets
about one event in twenty through to a model of 100 trees.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks.rule_book import rule_book
from tocsin.core.desk import (
    Aggregate,
    Batch,
    Bucket,
    Candidate,
    Deadline,
    Desk,
    Features,
    Judgement,
    Labelled,
    Miss,
    Ratio,
    Rule,
    Series,
    Window,
)
from tocsin.core.signal import Decision, Signal, Text
from tocsin.methods.trees import Trees, fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.core.playbook import Playbook

__all__ = ["DURABLE", "EXACT", "READS", "BenchDesk", "rule_book", "trained"]

HTTP = ("http.request",)
VIEWS = ("session.viewed",)
GOODS = ("session.viewed", "cart.changed")
PAYMENTS = ("payment.attempted",)
PAYING = ("payment.attempted", "order.placed")
READS = ("http.request", *GOODS, *PAYING, "search.performed", "message.received", "review.posted")
COUNT, SUM, MEAN, STD = Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.STD
DISTINCT, RECENCY = Aggregate.DISTINCT, Aggregate.RECENCY
DAY_S = 86_400


def _windows(*rows: tuple[str, Aggregate, str, int, tuple[str, ...], str]) -> tuple[Window, ...]:
    return tuple(
        Window(name=name, fold=fold, by=by, span_s=span, of=of, field=field) for name, fold, by, span, of, field in rows
    )


EXACT = _windows(
    ("ip_events_60s", COUNT, "ip", 60, READS, ""),
    ("ip_events_10m", COUNT, "ip", 600, READS, ""),
    ("ip_events_1h", COUNT, "ip", 3600, READS, ""),
    ("ip_bytes_60s", SUM, "ip", 60, HTTP, "bytes"),
    ("ip_duration_mean_5m", MEAN, "ip", 300, HTTP, "duration_ms"),
    ("ip_accounts_1h", DISTINCT, "ip", 3600, READS, "account"),
    ("session_events_60s", COUNT, "session", 60, READS, ""),
    ("session_events_1h", COUNT, "session", 3600, READS, ""),
    ("session_goods_10m", DISTINCT, "session", 600, GOODS, "sku"),
    ("session_gap", RECENCY, "session", 3600, READS, ""),
    ("session_dwell_std_10m", STD, "session", 600, VIEWS, "duration_ms"),
    ("account_events_5m", COUNT, "account", 300, READS, ""),
    ("account_devices_1h", DISTINCT, "account", 3600, READS, "device"),
    ("account_ips_1h", DISTINCT, "account", 3600, READS, "ip"),
    ("account_amount_1h", SUM, "account", 3600, PAYMENTS, "amount"),
    ("account_amount_std_1h", STD, "account", 3600, PAYMENTS, "amount"),
    ("account_gap", RECENCY, "account", 3600, READS, ""),
    ("card_attempts_60s", COUNT, "card", 60, PAYMENTS, ""),
    ("card_attempts_1h", COUNT, "card", 3600, PAYMENTS, ""),
    ("card_amount_1h", SUM, "card", 3600, PAYMENTS, "amount"),
    ("card_amount_mean_1h", MEAN, "card", 3600, PAYMENTS, "amount"),
    ("card_accounts_1h", DISTINCT, "card", 3600, PAYING, "account"),
)
DURABLE = _windows(
    ("ip_events_60s", COUNT, "ip", 60, READS, ""),
    ("ip_bytes_60s", SUM, "ip", 60, HTTP, "bytes"),
    ("ip_duration_mean_60s", MEAN, "ip", 60, HTTP, "duration_ms"),
    ("ip_events_24h", COUNT, "ip", DAY_S, READS, ""),
    ("ip_bytes_24h", SUM, "ip", DAY_S, HTTP, "bytes"),
    ("account_events_60s", COUNT, "account", 60, READS, ""),
    ("account_amount_60s", SUM, "account", 60, PAYMENTS, "amount"),
    ("account_gap", RECENCY, "account", 60, READS, ""),
    ("account_events_24h", COUNT, "account", DAY_S, READS, ""),
    ("account_amount_24h", SUM, "account", DAY_S, PAYMENTS, "amount"),
)

GATE_AMOUNT = 23_700
"""Two payments and orders in three are below it: about one event in twenty passes."""
GATE_DEVICES = 4
HELD = 0.97
MODEL_FIELDS = ("amount", "duration_ms")
TREES = 100
_TITLE = Text("benchmark", "基准测试")


class BenchDesk:
    """A desk that gates by amount and devices and scores what passes. Reads all types of the stream.

    Parameters
    ----------
    windows
        ``EXACT`` or ``DURABLE``.
    rules
        Its rules, as ``rule_book`` writes them.
    model
        Trees over all windows and ``MODEL_FIELDS``; None: nothing is scored.
    """

    name = "bench"
    version = 1
    reads: tuple[str, ...] = READS
    series: tuple[Series, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    kinds: Mapping[str, Text] = {"bench": _TITLE}

    def __init__(
        self, windows: tuple[Window, ...] = EXACT, rules: tuple[Rule, ...] = (), model: Trees | None = None
    ) -> None:
        self.windows: tuple[Window | Ratio, ...] = windows
        self.rules = rules
        self.model = model
        self._names = tuple(window.name for window in windows)

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Return the scores of the rows that pass the gate, NaN elsewhere."""
        scores = np.full(batch.n, np.nan)
        if self.model is None:
            return Judgement(scores=scores)
        rows = np.flatnonzero(self.gate(batch, features))
        if not len(rows):
            return Judgement(scores=scores, model="bench")
        x = np.empty((len(rows), len(self._names) + len(MODEL_FIELDS)))
        if 4 * len(rows) >= batch.n:
            x[:, : len(self._names)] = features.matrix(self._names)[rows]
        else:
            for place, name in enumerate(self._names):
                x[:, place] = features[name].values[rows]
        for place, name in enumerate(MODEL_FIELDS, len(self._names)):
            column = batch.column(name)
            x[:, place] = np.where(column.present[rows], column.values[rows], np.nan)
        scores[rows] = 1.0 / (1.0 + np.exp(-self.model.raw(x)))
        held = np.flatnonzero(scores > HELD).tolist()
        return Judgement(scores=scores, decisions=dict.fromkeys(held, Decision.HOLD), model="bench")

    def gate(self, batch: Batch, features: Features) -> np.ndarray:
        """Return the bool mask [n] of the rows worth a model: large amounts, and accounts with many devices."""
        amount = batch.column("amount")
        large = amount.present & (amount.values >= GATE_AMOUNT)
        passed: np.ndarray = batch.of_type(*PAYING) & large
        if "account_devices_1h" in self._names:
            devices = features["account_devices_1h"]
            passed |= devices.present & (devices.values >= GATE_DEVICES)
        return passed

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Return nothing: it watches no series."""
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Return nothing: it sets no deadlines."""
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Return nothing: its model is made at set-up."""
        return None

    def with_model(self, artefact: bytes | None) -> Desk:
        """Return the desk with those trees."""
        model = None if artefact is None else msgspec.msgpack.decode(artefact, type=Trees)
        return BenchDesk(tuple(w for w in self.windows if isinstance(w, Window)), self.rules, model)

    def playbooks(self) -> Sequence[Playbook]:
        """Return none."""
        return ()


@lru_cache(maxsize=8)
def trained(windows: tuple[Window, ...], seed: int = 0) -> Trees:
    """Return 100 trees of 31 leaves over the windows and ``MODEL_FIELDS``, fitted on 20,000 synthetic rows.

    The rows are lognormal with a fifth missing; harm grows with the first feature of each entity and with the amount.
    """
    rng = np.random.default_rng(seed)
    x = rng.lognormal(3.0, 1.5, size=(20_000, len(windows) + len(MODEL_FIELDS)))
    x[:, len(windows)] = rng.lognormal(9.6, 1.1, size=len(x))
    x[:, len(windows) + 1] = rng.lognormal(6.0, 0.6, size=len(x))
    first = {window.by: place for place, window in reversed(list(enumerate(windows)))}
    told = sum(np.log(x[:, place]) - 3.0 for place in first.values()) + np.log(x[:, len(windows)]) - 9.6
    harm = told * np.sin(np.log(x[:, 1])) + rng.normal(0.0, 1.0, len(x)) > 3.0
    x[rng.random(x.shape) < 0.2] = np.nan
    return fit(x, harm, rounds=TREES, seed=seed, settings={"num_threads": 1})
