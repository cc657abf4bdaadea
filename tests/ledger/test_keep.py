"""How long what is kept, as a setting says it."""

from __future__ import annotations

import pytest

from tocsin.errors import Misconfigured
from tocsin.ledger.keep import Keep


def test_days_are_read_from_a_setting() -> None:
    """A wrong setting names the part that is wrong."""
    keep = Keep.parse("30, label.given=400, tocsin.*=90")
    assert [keep.days(name) for name in ("x", "label.given", "tocsin.mode")] == [30, 400, 90]
    assert (keep.longer("label.given"), keep.longer("x"), keep.ever("x")) == (True, False, True)
    for wrong in ("", "x", "30, label.given", "30, a=b", "0"):
        with pytest.raises(Misconfigured, match="journal_keep_days"):
            Keep.parse(wrong)
