"""Advice on room: what of the state is too small, and whether journal, snapshots and history keep up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.server.measured import Advice, PlaneView, Weight
from tocsin.server.saying import number, say

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVALS = 3
"""A snapshot is old when it has been missed so many times."""
SPARE_BYTES = 1_000_000_000


# What is too small --------------------------------------------------------------------------------------------------


def short_windows(view: PlaneView) -> Iterator[Advice]:
    """The log of exact windows is full."""
    windows = view.windows
    if windows is not None and windows.span_s < windows.declared_s:
        yield say(
            "windows-short",
            Weight.WARNING,
            "The log of the exact windows is full: they reach back {s} s of {declared} s. Raise TOCSIN_LOG_EVENTS "
            "(now {n}), or declare shorter windows.",
            "精确窗口的日志已满：只能回看 {s} 秒（声明为 {declared} 秒）。请调大 TOCSIN_LOG_EVENTS（现为 {n}），"
            "或声明更短的窗口。",
            s=number(windows.span_s),
            declared=number(windows.declared_s),
            n=windows.log_capacity,
        )


def short_ids(view: PlaneView) -> Iterator[Advice]:
    """Identities were let go of before their time."""
    ids = view.ids
    if ids is not None and ids.forgotten_early and ids.span_s < ids.declared_s:
        yield say(
            "ids-short",
            Weight.WARNING,
            "Event identities are remembered for {s} s instead of 24 hours: an older duplicate would count twice. "
            "Raise TOCSIN_REMEMBERED_IDS (now {n}, 38 bytes each when full).",
            "事件标识只能记住 {s} 秒而非 24 小时：更早的重复事件会被计两次。请调大 TOCSIN_REMEMBERED_IDS"
            "（现为 {n}，写满时每个 38 字节）。",
            s=number(ids.span_s),
            n=ids.capacity,
        )


def warming(view: PlaneView) -> Iterator[Advice]:
    """Windows have not seen all that they reach back to."""
    if view.windows is not None and view.windows.cold:
        yield say(
            "windows-cold",
            Weight.HINT,
            "Windows that have not yet seen all that they reach back to: {names}. Rules that read them do not fire.",
            "以下窗口尚未看完其应回看的历史：{names}。读取它们的规则暂不触发。",
            names=", ".join(view.windows.cold),
        )


# What keeps it ------------------------------------------------------------------------------------------------------


def snapshots(view: PlaneView) -> Iterator[Advice]:
    """No snapshot was written for long, while events came."""
    found = view.snapshots
    if found is None or not found.behind:
        return
    age = min(found.age_s, view.uptime_s) if found.age_s is not None else view.uptime_s
    if age > INTERVALS * found.every_s:
        yield say(
            "snapshot-old",
            Weight.WARNING,
            "The last snapshot is {age} min old, one is due every {every} min: a start would fold {n} events again, "
            "and the journal cannot give back space. The server's log says why none was written.",
            "最近的快照已有 {age} 分钟，应每 {every} 分钟一次：重启需重新计算 {n} 个事件，事件日志也无法回收空间。"
            "原因见服务器日志。",
            age=number(age / 60),
            every=number(found.every_s / 60),
            n=found.behind,
        )
    elif found.failed and found.failed >= found.taken:
        yield say(
            "snapshot-failed",
            Weight.WARNING,
            "{n} snapshots could not be written; the server's log says why. Mostly the disk is full.",
            "有 {n} 次快照未能写入，原因见服务器日志；多半是磁盘已满。",
            n=found.failed,
        )


def journal(view: PlaneView) -> Iterator[Advice]:
    """The journal outgrows its bound, or its disk."""
    found = view.journal
    if found.overdue_bytes:
        yield say(
            "journal-over",
            Weight.WARNING,
            "The journal is {over} GB over its bound of {most} GB because no snapshot covers what could go.",
            "事件日志超出上限 {most} GB 达 {over} GB：尚无快照覆盖可回收的部分。",
            over=number(found.overdue_bytes / 1e9),
            most=number(found.most_bytes / 1e9),
        )
    if found.free_bytes is not None:
        state = view.snapshots.bytes if view.snapshots is not None else 0
        yield from disk_small(found.free_bytes, found.bytes, found.most_bytes, state)


def disk_small(free: int, written: int, most: int, state: int) -> Iterator[Advice]:
    """The disk fills up before the journal gives anything back: all in bytes, ``state`` of one snapshot."""
    # Beside the two snapshots that are kept a third is written before the oldest goes.
    wanted = max(0, most - written) + 3 * state + SPARE_BYTES
    if free < wanted:
        yield say(
            "disk-small",
            Weight.WARNING,
            "The disk has {free} GB free, but the journal may still grow to its bound of {most} GB: {wanted} GB are "
            "needed. Lower TOCSIN_JOURNAL_BYTES, or make room: the intake stops when the disk is full.",
            "磁盘剩余 {free} GB，而事件日志还可增长到上限 {most} GB：需要 {wanted} GB。请调小 TOCSIN_JOURNAL_BYTES "
            "或腾出空间：磁盘写满时将停止接收事件。",
            free=number(free / 1e9),
            most=number(most / 1e9),
            wanted=number(wanted / 1e9),
        )


def history(view: PlaneView) -> Iterator[Advice]:
    """The history takes nothing."""
    if view.history is not None and view.history.fault:
        yield say(
            "history-fault",
            Weight.WARNING,
            "The history takes nothing: {why}. Segments that only it could stand for stay in the journal.",
            "历史库无法写入：{why}。只能由它代替的事件日志段会一直保留。",
            why=view.history.fault,
        )
