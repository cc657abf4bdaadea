"""What the vocabulary says of the fields that windows and series aggregate."""

from __future__ import annotations

import math
from typing import Any

from tocsin.core.events import Field, Kind
from tocsin.core.vocabulary import VOCABULARY
from tocsin.errors import Misconfigured

UNKNOWN_SCALE = 6
ITEM_FIELDS: dict[str, Field] = {
    "sku": Field("sku", Kind.KEY, "stock keeping unit", "库存单位"),
    "quantity": Field("quantity", Kind.INTEGER, "pieces", "件数", unit="pieces"),
    "price": Field("price", Kind.MONEY, "price of one piece", "单价", unit="minor units"),
    "name": Field("name", Kind.TEXT, "name of the item", "商品名称"),
}
"""The fields of one order line."""


def field_of(types: tuple[str, ...], name: str, *, item: bool = False) -> Field | None:
    """Return the field as the first of the event types declares it, None where the vocabulary does not know it.

    Raises Misconfigured where the types disagree about its kind or scale: such a field cannot be aggregated.
    """
    if item:
        return ITEM_FIELDS.get(name)
    kinds = [VOCABULARY[kind].field(name) for kind in types if kind in VOCABULARY]
    known = [field for field in kinds if field is not None]
    for field in known:
        if (field.kind, field.scale) != (known[0].kind, known[0].scale):
            raise Misconfigured(f"field {name!r} means different things in {', '.join(types)}; aggregate fewer types")
    return known[0] if known else None


def scale_of(field: Field | None) -> int:
    """Return the decimal places kept of a field inside windows; unknown fields keep 6."""
    if field is None:
        return UNKNOWN_SCALE
    return field.scale if field.kind is Kind.NUMBER else 0


def fixed_point(value: Any, scale: int) -> int | None:
    """Return a value in fixed point of ``scale`` decimals, None where it is no finite number.

    >>> fixed_point(1.25, 6), fixed_point(True, 0), fixed_point("x", 0)
    (1250000, 1, None)
    """
    if isinstance(value, int):
        return int(value) * int(10**scale)
    if isinstance(value, float) and math.isfinite(value):
        return round(value * float(10**scale))
    return None
