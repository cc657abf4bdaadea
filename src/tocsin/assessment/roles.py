"""What each column of a plain table is: label, time, key, number, category, words; or left out, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.assessment.leaks import leave_out_leaks
from tocsin.assessment.plate import LeftOut, Plate
from tocsin.core.signal import Text
from tocsin.errors import Misconfigured
from tocsin.methods.encoding import Feature, words
from tocsin.methods.parsing import (
    day_first,
    decimal_mark,
    has_money_sign,
    is_missing,
    parse_label,
    parse_number,
    parse_time,
)
from tocsin.sources.columns import instant_of, key_text
from tocsin.sources.mapping import FIELD_NAMES, ID_NAMES, LABEL_NAMES, TIME_NAMES, find_column, header, personal_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

KEY_FIELDS = ("card", "account", "device", "ip", "address", "merchant", "session", "sku")


def plate(frame: pl.DataFrame, *, label: str = "", time: str = "", leave_out: Sequence[str] = ()) -> Plate:
    """Return the table with the part of each column settled from headers and values.

    ``label`` and ``time`` name columns; where they are empty, headers decide. Misconfigured where a named column does
    not exist or the label has more than two values.
    """
    columns = frame.columns
    for named in (label, time, *leave_out):
        if named and named not in columns:
            raise Misconfigured(f"there is no column {named!r}; the table has {', '.join(columns)}")
    out = Plate(n=frame.height, features=[])
    out.label = label or _label_of(frame)
    if out.label:
        out.y = _labels(frame[out.label], out, asked=bool(label))
    rest = [column for column in columns if column != out.label]
    times = _times(frame, rest, time)
    if times:
        out.time = time if time in times else sorted(times, key=lambda name: not find_column([name], TIME_NAMES))[0]
        out.at = times[out.time]
    keyed = _key_columns(rest)
    for column in rest:
        if column in leave_out:
            out.left_out.append(LeftOut(column, "asked", Text("left out as asked", "按要求排除")))
        elif column in times:
            continue
        else:
            _take(frame[column], column, keyed.get(column, ""), out)
    _time_features(times, out)
    leave_out_leaks(out)
    named_amount = find_column([f.name for f in out.features if f.kind == "number"], FIELD_NAMES["amount"])
    out.amount = named_amount or out.amount
    return out


def texts_of(series: pl.Series) -> list[str | None]:
    """Return a column as texts, None where the cell is empty."""
    values = series.to_list()
    known: dict[object, str | None] = {None: None}
    for value in values:
        if value not in known:
            text = key_text(value)
            known[value] = None if is_missing(text) else text
    return [known[value] for value in values]


def _label_of(frame: pl.DataFrame) -> str:
    """Return the column whose header names a label and whose values are labels (or empty)."""
    found = [column for column in frame.columns if find_column([column], LABEL_NAMES)]
    found.sort(key=lambda column: next(i for i, name in enumerate(LABEL_NAMES) if find_column([column], [name])))
    for column in found:
        levels = {text for text in texts_of(frame[column].unique()) if text is not None}
        if len(levels) <= 2 or any(parse_label(text) is not None for text in levels):
            return column
    return ""


def _labels(series: pl.Series, out: Plate, *, asked: bool) -> np.ndarray:
    """Return float64 [n]: 1 positive, 0 negative, NaN none; says what it did with words it does not know."""
    texts = texts_of(series)
    levels = sorted({text for text in texts if text is not None})
    if not levels and asked:
        raise Misconfigured(f"the label column {series.name!r} is empty; fill in some labels or leave --label away")
    meaning: dict[str, float] = {}
    for level in levels:
        answer = parse_label(level)
        if answer is not None:
            meaning[level] = float(answer)
    unknown = [level for level in levels if level not in meaning]
    if unknown and len(levels) == 2:
        rare = min(levels, key=texts.count)
        meaning = {level: float(level == rare) for level in levels}
        said = Text(
            f"label {series.name}: the rarer value {rare!r} is taken as the positive one",
            f"标签 {series.name}：较少出现的值 {rare!r} 视为异常",
        )
        out.notes.append(said)
    elif unknown and len(set(meaning.values())) < 2:
        shown = ", ".join(repr(level) for level in levels[:6])
        raise Misconfigured(
            f"the label column {series.name!r} must hold two values such as 0/1, true/false, yes/no, 是/否; "
            f"it holds {shown}"
        )
    elif unknown:
        count = sum(text in unknown for text in texts)
        out.notes.append(
            Text(
                f"label {series.name}: {count} rows hold neither yes nor no and count as unlabelled",
                f"标签 {series.name}：{count} 行既非是也非否，按无标签处理",
            )
        )
    return np.array([np.nan if text is None else meaning.get(text, np.nan) for text in texts], np.float64)


def _times(frame: pl.DataFrame, columns: Sequence[str], asked: str) -> dict[str, np.ndarray]:
    """Return the columns that hold times, as float64 microseconds with NaN; the main one has none missing."""
    found: dict[str, np.ndarray] = {}
    for column in columns:
        series = frame[column]
        named = column == asked or bool(find_column([column], TIME_NAMES))
        values: list[int | None] | None
        if series.dtype.is_temporal():
            values = [instant_of(value) for value in series.to_list()]
        elif series.dtype.is_numeric() and not named:
            continue
        else:
            values = _parsed_times(series, named)
            if values is None:
                if column == asked:
                    raise Misconfigured(f"column {column!r} holds no times that can be read")
                continue
        found[column] = np.array([np.nan if value is None else value for value in values], np.float64)
    whole = {name: values for name, values in found.items() if not np.isnan(values).any()}
    return found if whole or not found else {}


def _parsed_times(series: pl.Series, named: bool) -> list[int | None] | None:
    sample = [text for text in texts_of(series.drop_nulls().head(200)) if text is not None]
    if not sample or (not named and all(text.replace(".", "", 1).isdigit() for text in sample)):
        return None
    if sum(parse_time(text, day_first=day_first(sample)) is not None for text in sample) < 0.9 * len(sample):
        return None
    texts = texts_of(series)
    first = day_first(text for text in texts if text is not None)
    return [None if text is None else parse_time(text, day_first=first) for text in texts]


def _key_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return column -> entity for the columns whose header names one."""
    found: dict[str, str] = {}
    for field in KEY_FIELDS:
        column = find_column([name for name in columns if name not in found], FIELD_NAMES[field])
        if column:
            found[column] = field
    for column in columns:
        name = personal_field(column)
        if name:
            found.setdefault(column, name)
    return found


def _take(series: pl.Series, column: str, entity: str, out: Plate) -> None:
    """Add the column as a feature, or leave it out with the reason."""
    texts = texts_of(series) if not series.dtype.is_numeric() else None
    numbers = _numbers(series, texts, column, out)
    if texts is not None and all(text is None for text in texts):
        out.left_out.append(LeftOut(column, "empty", Text("holds no value", "没有任何值")))
        return
    if numbers is not None and np.isnan(numbers).all():
        out.left_out.append(LeftOut(column, "empty", Text("holds no number", "没有可读数值")))
        return
    keys = texts if texts is not None else texts_of(series)
    distinct = {key for key in keys if key is not None}
    present = sum(key is not None for key in keys)
    if len(distinct) == 1 and present == out.n:
        out.left_out.append(LeftOut(column, "constant", Text("has the same value in every row", "所有行取值相同")))
        return
    named = bool(find_column([column], ID_NAMES)) or header(column).endswith(("_id", "编号", "流水号", "单号"))
    # A key that repeats at all may tell something by repeating; another column must repeat more often than that.
    money = bool(find_column([column], FIELD_NAMES["amount"]))
    if numbers is None and money:
        text = Text(
            "named an amount, but its cells are no numbers; write them as 1299.00",
            "列名为金额但无可读数值，请写成 1299.00",
        )
        out.left_out.append(LeftOut(column, "no-number", text))
        return
    unique = len(distinct) > (0.995 if entity else 0.95) * present and present > 20
    whole = numbers is None or bool(np.all(np.nan_to_num(numbers) == np.floor(np.nan_to_num(numbers))))
    if (
        unique
        and whole
        and not money
        and (named or entity or (numbers is not None and _runs(numbers)) or _identity(keys, numbers))
    ):
        out.left_out.append(LeftOut(column, "identity", Text("identifies the row", "是行标识")))
    elif entity or (named and whole):
        values = np.array(keys, object)
        out.keys[column] = values
        out.features.append(Feature(name=column, kind="key", values=values))
    elif numbers is not None:
        out.features.append(Feature(name=column, kind="number", values=numbers))
        if not out.amount and texts is not None and any(has_money_sign(text) for text in texts[:200] if text):
            out.amount = column
    else:
        _take_text(column, keys, distinct, present, out)


def _take_text(column: str, keys: Sequence[str | None], distinct: set[str], present: int, out: Plate) -> None:
    if len(distinct) <= max(50, present // 50):
        out.features.append(Feature(name=column, kind="category", values=np.array(keys, object)))
        return
    vocabulary = [word for key in keys[:2000] if key for word in words(key)]
    if len(set(vocabulary)) <= max(200, len(vocabulary) // 5):
        out.features.append(Feature(name=column, kind="words", values=np.array(keys, object)))
        return
    text = Text("free text with hardly a word twice", "自由文本，几乎没有重复词")
    out.left_out.append(LeftOut(column, "free-text", text))


def _identity(keys: Sequence[str | None], numbers: np.ndarray | None) -> bool:
    """Return whether unique texts look like identities: of one length or without spaces."""
    if numbers is not None:
        return False
    present = [key for key in keys if key is not None][:500]
    return not any(" " in key for key in present)


def _runs(numbers: np.ndarray) -> bool:
    """Return whether the whole numbers are a running count."""
    present = numbers[~np.isnan(numbers)]
    return len(present) > 20 and float(present.max() - present.min()) < 1.5 * len(present)


def _numbers(series: pl.Series, texts: list[str | None] | None, column: str, out: Plate) -> np.ndarray | None:
    """Return float64 [n] where the column holds numbers (4 of 5 present cells at least), else None."""
    if texts is None:
        return np.asarray(series.cast(float).fill_null(float("nan")).to_numpy(), np.float64)
    if str(series.dtype) == "Boolean":
        return np.array([np.nan if value is None else float(value) for value in series.to_list()], np.float64)
    present = [text for text in texts if text is not None]
    if not present:
        return None
    decimal = decimal_mark(present[:5000])
    read: Callable[[str], float | None] = {text: parse_number(text, decimal) for text in set(present)}.get
    unreadable = [row for row, text in enumerate(texts, 1) if text is not None and read(text) is None]
    if len(unreadable) > 0.2 * len(present):
        return None
    if unreadable:
        out.unreadable[column] = (len(unreadable), tuple(unreadable[:5]))
    values = [None if text is None else read(text) for text in texts]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _time_features(times: dict[str, np.ndarray], out: Plate) -> None:
    """Add the hour and weekday of the main time, and the hours from every other time column to it."""
    if out.at is None:
        return
    main = np.asarray(times[out.time], np.float64)
    if np.isnan(main).any():
        text = Text(
            f"{int(np.isnan(main).sum())} rows without a time take the one before", "缺少时间的行沿用前一行时间"
        )
        out.notes.append(text)
        main = _forward(main)
    out.at = main.astype(np.int64)
    hours = out.at / 3.6e9
    if len(np.unique(out.at // 3_600_000_000 % 24)) > 1:
        out.features.append(Feature(name=f"{out.time} (hour)", kind="number", values=hours % 24))
    days = np.floor(hours / 24)
    if len(np.unique(days)) > 7:
        out.features.append(Feature(name=f"{out.time} (weekday)", kind="number", values=(days + 3) % 7))
    for name, values in times.items():
        if name != out.time:
            gap = (main - values) / 3.6e9
            out.features.append(Feature(name=f"{out.time} - {name} (hours)", kind="number", values=gap))


def _forward(values: np.ndarray) -> np.ndarray:
    filled = values.copy()
    last = float(np.nanmin(values))
    for place, value in enumerate(values):
        last = last if np.isnan(value) else float(value)
        filled[place] = last
    return filled
