"""What a database that refuses means for who asked: what may pass by itself, and what a person must see to."""

from __future__ import annotations

from tocsin.errors import Misconfigured, Retryable


def refusal(words: str, *, operational: bool) -> Retryable | Misconfigured | None:
    """Return the error for a driver's ``words``; None where they mean a fault of ours.

    ``operational``: the driver raised its OperationalError: locked, full, failing.
    """
    if "unable to open" in words or "readonly" in words:
        return Misconfigured(f"records: {words}; check that the folder exists and may be written to")
    if operational:
        return Retryable(f"records: {words}")
    if "malformed" in words or "not a database" in words:
        return Misconfigured(f"records: the database is damaged ({words}); keep a copy and restore it (tocsin restore)")
    return None
