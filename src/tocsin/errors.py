"""Errors are instructions to the caller, few and named.

``BadEvent``: bury it. ``Retryable``: try again. ``Conflict``: reload, then decide again.
``Misconfigured``: stop and change what the message says.
"""


class TocsinError(Exception):
    """The root of every error that this package raises on purpose."""


class BadEvent(TocsinError):
    """An event that cannot be accepted as it is; sending it again unchanged is useless.

    Parameters
    ----------
    reason
        One sentence for a person; never holds the value of a sealed field.
    field
        The JSON path of the offending field (``data.amount``), or ``""`` for the whole event.
    code
        A stable word for machines: ``malformed``, ``missing``, ``wrong-type``, ``out-of-range``,
        ``oversized``, ``too-old``, ``too-far-ahead``.
    """

    def __init__(self, reason: str, *, field: str = "", code: str = "malformed") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.code = code


class Retryable(TocsinError):
    """The caller may try the same call again, after ``after_s`` seconds."""

    def __init__(self, reason: str, *, after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = after_s


class Conflict(TocsinError):
    """The thing has changed since the caller looked: reload and decide again."""


class NotFound(TocsinError):
    """There is no such thing under that identity."""


class Misconfigured(TocsinError):
    """Stop: a setting, file or declaration is wrong; the message says what to change."""
