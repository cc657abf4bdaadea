"""Rules in other engines: the Rust CEL package, and ZEN with the same rules in its own language."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import Any

Rules = list[dict[str, Any]]
"""id, when (CEL), on (event types; empty: all)."""
Rows = list[dict[str, Any]]
"""type, and env: data, features (without those that are missing), event."""
Hits = list[list[str]]
RUST_ERRORS = (KeyError, ValueError, TypeError, RuntimeError, ZeroDivisionError, OverflowError, IndexError)
"""What the CEL package raises where a value is missing: the rule does not fire."""


def cel(rules: Rules, rows: Rows, lists: dict[str, list[str]], seconds: float) -> tuple[Hits, float, str]:
    """One context an event, every program of its type executed in it."""
    module = import_module("cel")
    known = {name: frozenset(values) for name, values in lists.items()}
    ready = [(rule["id"], rule["on"], module.compile(rule["when"])) for rule in rules]
    hits: Hits = []
    began = time.perf_counter()
    for row in rows:
        context = module.Context()
        context.add_function("in_list", lambda name, value: value in known.get(name, ()))
        for name, value in row["env"].items():
            context.add_variable(name, value)
        found = []
        for id_, types, program in ready:
            if types and row["type"] not in types:
                continue
            try:
                if program.execute(context) is True:
                    found.append(id_)
            except RUST_ERRORS:
                continue
        hits.append(found)
        if time.perf_counter() - began > seconds:
            break
    return hits, time.perf_counter() - began, f"{len(ready)} of {len(rules)} rules"


def zen(rules: Rules, rows: Rows, lists: dict[str, list[str]], seconds: float) -> tuple[Hits, float, str]:
    """Compiled expressions; missing features are 0, as an error costs it a printed stack, and lists are left out."""
    compile_ = import_module("zen").compile_expression
    ready = []
    for rule in rules:
        text = translated(rule["when"])
        if text is not None:
            ready.append((rule["id"], rule["on"], compile_(text)))
    names = {name for rule in rules for name in re.findall(r"features\.(\w+)", rule["when"])}
    fields = {name for rule in rules for name in re.findall(r"data\.(\w+)", rule["when"])}
    blank = dict.fromkeys(names, 0.0)
    hits: Hits = []
    began = time.perf_counter()
    for row in rows:
        env = row["env"]
        # Only what the rules read: it converts the whole environment for every expression.
        data = {name: value for name, value in env["data"].items() if name in fields}
        given = {"data": data, "features": blank | env["features"], "score": env.get("score", 0.0)}
        found = []
        for id_, types, expression in ready:
            if types and row["type"] not in types:
                continue
            try:
                if expression.evaluate(given) is True:
                    found.append(id_)
            except RuntimeError:
                continue
        hits.append(found)
        if time.perf_counter() - began > seconds:
            break
    return hits, time.perf_counter() - began, f"{len(ready)} of {len(rules)} rules, missing features as 0"


def translated(when: str) -> str | None:
    """Return a rule of the book in ZEN's language; None where it has no counterpart.

    >>> translated('data.path.startsWith("/api/") && !(data.country in ["CN"])')
    'startsWith(data.path, "/api/") and not (data.country in ["CN"])'
    """
    if "in_list" in when:
        return None
    text = re.sub(r"(data\.\w+)\.(startsWith|endsWith|contains|matches)\(", r"\2(\1, ", when)
    text = re.sub(r"has\((data\.\w+)\)", r"\1 != null", text)
    text = re.sub(r"double\(([^()]+)\)", r"\1", text)
    text = re.sub(r"!\(", "not (", text)
    return text.replace("&&", "and").replace("||", "or")


ENGINES = {"Rust CEL": (cel, "common-expression-language"), "zen-engine": (zen, "zen-engine")}
