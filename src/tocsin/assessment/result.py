"""The result of an assessment: plain data with exactly the keys that its JSON has."""

from __future__ import annotations

from typing import Any

import msgspec

KEYS = ("events", "refused", "cleaned", "models", "chosen", "signals", "incidents", "actions")
MOST_LISTED = 10_000
"""At most so many signals, and so many refusals with their line, are listed; all are counted."""


class Assessment(msgspec.Struct, kw_only=True):
    """What was read, what it showed, and what the rules would have done. Money in minor units, times in microseconds.

    Attributes
    ----------
    events
        ``accepted``, ``by_type``, ``first``, ``last``, ``decisions`` and ``files`` (name, kind, notes, mapping);
        ``tables`` holds ``rows``, ``labelled``, ``positives``, ``to_score`` of each plain table.
    refused
        ``total``, ``by_code`` and ``first`` (file, line, reason, code, field).
    cleaned
        ``columns`` (what was missing, outlying, unreadable; fill, filter and scale chosen), ``left_out``, ``notes``.
    models
        One object a model: ``model``, mean and sd of ``mse``, ``log_likelihood``, ``ap``, ``recall_at_1pct_fpr``.
    chosen
        ``model``, ``why`` and how it was judged; None where nothing was to be scored.
    signals, incidents, actions
        As the loop made them; a row at risk of a plain table is a signal of kind ``row-at-risk`` with ``evidence.row``.
    """

    events: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    cleaned: dict[str, Any] = {}
    models: list[dict[str, Any]] = []
    chosen: dict[str, Any] | None = None
    signals: list[dict[str, Any]] = []
    incidents: list[dict[str, Any]] = []
    actions: list[dict[str, Any]] = []

    @property
    def at_risk(self) -> list[dict[str, Any]]:
        """The rows at risk of a plain table, the highest score first: row, line, file, score, decision, reasons."""
        rows = [
            signal["evidence"] | {"score": signal["score"], "reasons": signal.get("reasons", [])}
            for signal in self.signals
            if signal["kind"] == "row-at-risk"
        ]
        return sorted(rows, key=lambda row: -row["score"])

    def report(self, language: str = "en", width: int = 100) -> str:
        """Return the report as plain text."""
        from tocsin.assessment.report import as_text

        return as_text(self, language, width)

    def _repr_html_(self) -> str:
        """Return the report for a notebook."""
        from tocsin.assessment.report import as_html

        return as_html(self, "en")

    def json(self) -> bytes:
        """Return the JSON text: one object with exactly the keys ``KEYS``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)
