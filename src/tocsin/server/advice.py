"""Advice: what is wrong or slow in the data plane, and what to do about it. Pure: numbers in, sentences out.

Each function of ``LOOKS`` looks at one thing and says nothing where nothing is the matter. The API, ``tocsin doctor``
and the console say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.core.signal import Text
from tocsin.server.advice_room import history, journal, short_ids, short_windows, snapshots, warming
from tocsin.server.measured import Advice, PlaneView, Thread, Weight
from tocsin.server.saying import number, percent, say, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY = 0.9
"""Share of its time from which on a thread is full."""
SLOW_SYNC_MS = 50.0
MUCH_UNWRITTEN = 16_000_000
"""Bytes from which on what waits for the disk is worth a word."""
LONG_WAIT_S = 1.0
SLOW_LINES = 0.02
"""Share of lines through the slow door that the plane is built for; the figures of the benchmarks have less."""
ENOUGH_LINES = 1000
DEAR_RULE = 0.2
"""Share of the time of all rules from which on one is dear, where the rules take ``DEAR_RULES`` of the fold's."""
DEAR_RULES = 0.05
LATE_VERDICTS = 0.01
CAUSES = {
    "shape": Text("a shape that is no event's", "结构不像事件"),
    "text": Text("texts that need a closer look", "文本需细查"),
    "number": Text("numbers written in an unusual way", "数字写法少见"),
    "duplicate": Text("fields that are named twice", "字段重复"),
    "attribute": Text("unusual attributes beside data", "data 之外的属性少见"),
    "type": Text("unknown event types", "事件类型未知"),
    "time": Text("times written in an unusual way", "时间写法少见"),
    "value": Text("values of the wrong kind or range", "取值类型或范围不符"),
    "masked": Text("texts in which something is to be masked", "文本中有需脱敏的内容"),
    "sealed": Text("values that are to be sealed", "取值需加密"),
    "nested": Text("nested values", "嵌套的值"),
    "subject": Text("subjects that are to be pseudonymised", "主体需假名化"),
    "required": Text("required fields that are missing", "缺少必填字段"),
    "long": Text("very long lines", "行过长"),
}
"""Why the scanner leaves a line to the slow door (``flow.wide.scan_checks.CAUSES``), in words."""


def advise(view: PlaneView) -> list[Advice]:
    """Return what is to be said about a plane, the heaviest first; empty where all is well."""
    found = [advice for look in LOOKS for advice in look(view)]
    order = list(Weight)
    return sorted(found, key=lambda advice: order.index(advice.weight))


# What is refused or lost ------------------------------------------------------------------------------------------


def refusing(view: PlaneView) -> Iterator[Advice]:
    """The intake accepts nothing."""
    if view.journal.refusing:
        yield say(
            "refusing",
            Weight.ALARM,
            "Nothing is accepted: {why}. Free space or repair the disk; it goes on by itself.",
            "现在不接受任何事件：{why}。请释放空间或修复磁盘；之后自动恢复。",
            why=view.journal.refusing,
        )


def faults(view: PlaneView) -> Iterator[Advice]:
    """A desk or another part does not work."""
    for part, why in view.faults.items():
        kind, _, name = part.partition(":")
        if kind == "desk":
            yield say(
                "desk-left-out",
                Weight.ALARM,
                "The desk {name} is left out since it failed: {why}. Mend it, then start again.",
                "席位 {name} 出错后已停用：{why}。请修复后重新启动。",
                name=name,
                why=why,
            )
        else:
            yield say(
                "fault",
                Weight.ALARM,
                "{part} does not work: {why}. The server's log says more.",
                "{part} 无法工作：{why}。详情见服务器日志。",
                part=part,
                why=why,
            )


def shed(view: PlaneView) -> Iterator[Advice]:
    """Requests were refused because too many waited."""
    if view.queue.shed_recent:
        yield say(
            "shed",
            Weight.ALARM,
            "{n} requests were refused just now because {most} events waited (429: the sender tries again). More comes "
            "than is folded: see which stage below is full, or raise TOCSIN_QUEUE_EVENTS for short bursts.",
            "刚才有 {n} 个请求因已有 {most} 个事件在等待而被拒绝（429，发送方会重试）。流入快于处理："
            "请看下方哪个阶段已满；若只是短时突发，可调大 TOCSIN_QUEUE_EVENTS。",
            n=view.queue.shed_recent,
            most=view.queue.most,
        )


def waiting(view: PlaneView) -> Iterator[Advice]:
    """What waits has waited for long."""
    if view.queue.waited_s > LONG_WAIT_S:
        yield say(
            "queue-waits",
            Weight.WARNING,
            "The oldest of {n} waiting events has waited for {s} s: more comes than is folded, or the disk holds up.",
            "{n} 个等待中的事件里，最早的已等待 {s} 秒：流入快于处理，或磁盘在拖延。",
            n=view.queue.events + (view.queue.rows or 0),
            s=number(view.queue.waited_s),
        )


def late_verdicts(view: PlaneView) -> Iterator[Advice]:
    """Callers gave up waiting."""
    if view.flow.verdicts_late_share > LATE_VERDICTS:
        yield say(
            "verdicts-late",
            Weight.ALARM,
            "{share} of the verdicts came after the caller's deadline of {ms} ms and the fall-back was served: see "
            "which stage is slow, or raise TOCSIN_VERDICT_DEADLINE_MS.",
            "{share} 的裁决超过了 {ms} 毫秒的时限，已按后备答复：请看哪个阶段慢，或调大 TOCSIN_VERDICT_DEADLINE_MS。",
            share=percent(view.flow.verdicts_late_share),
            ms=view.flow.deadline_ms,
        )


# Where the time goes ------------------------------------------------------------------------------------------------


def fold_full(view: PlaneView) -> Iterator[Advice]:
    """The thread that folds has no time left."""
    mine = [stage for stage in view.stages if stage.thread is Thread.FOLD]
    share = sum(stage.share for stage in mine)
    if share <= BUSY:
        return
    worst = max(mine, key=lambda stage: stage.share)
    small = worst.rows_per_run < 64
    yield say(
        "fold-full",
        Weight.WARNING,
        "The fold is the bottleneck: its thread is busy {share} of the time, most of it in {stage} at {us} us an "
        "event. " + ("Send larger requests: a batch has {rows} events." if small else "Look at the dearest rules and "
        "windows below, or spread the shops over more machines."),
        "瓶颈在计算（fold）：其线程 {share} 的时间在忙，主要在 {stage} 阶段，每个事件 {us} 微秒。"
        + ("请发送更大的批次：现在每批仅 {rows} 个事件。" if small else "请看下方最耗时的规则，或把店铺分到更多机器。"),
        share=percent(share),
        stage=worst.name,
        us=number(worst.us_per_row),
        rows=number(worst.rows_per_run),
    )  # fmt: skip


def scan_full(view: PlaneView) -> Iterator[Advice]:
    """The scanner has no time left."""
    scan = stage(view, "scan")
    if scan is not None and scan.share > BUSY:
        yield say(
            "scan-full",
            Weight.WARNING,
            "The scanner is the bottleneck: it is busy {share} of the time at {us} us a line. Leave out fields that "
            "nobody reads, and see below why lines take the slow door.",
            "瓶颈在行扫描：它 {share} 的时间在忙，每行 {us} 微秒。请去掉无人读取的字段，并看下方各行走慢速通道的原因。",
            share=percent(scan.share),
            us=number(scan.us_per_row),
        )


def disk_slow(view: PlaneView) -> Iterator[Advice]:
    """The disk takes long, or takes less than comes."""
    sync, queue = stage(view, "sync"), view.queue
    if sync is not None and sync.p99_ms > SLOW_SYNC_MS:
        yield say(
            "disk-slow",
            Weight.WARNING,
            "The disk is slow: one commit in a hundred takes {ms} ms or longer to be on it, and everyone who waits for "
            "an acknowledgement waits for that. Put the data folder on a faster disk, away from other writers.",
            "磁盘慢：每一百次提交约有一次要 {ms} 毫秒以上才落盘，等待确认的请求都要等它。"
            "请把数据目录放到更快且无其他写入者的磁盘。",
            ms=number(sync.p99_ms),
        )
    if queue.unwritten_bytes > MUCH_UNWRITTEN and queue.grown_bytes > 0:
        yield say(
            "disk-behind",
            Weight.WARNING,
            "The disk is the bottleneck: {mb} MB wait for it, {more} MB more than {s} s ago.",
            "瓶颈在磁盘：有 {mb} MB 在等待写入，比 {s} 秒前多 {more} MB。",
            mb=number(queue.unwritten_bytes / 1e6),
            more=number(queue.grown_bytes / 1e6),
            s=number(view.over_s),
        )


def slow_door(view: PlaneView) -> Iterator[Advice]:
    """Many lines are left over by the scanner's kernel."""
    scanner = view.scanner
    if scanner is None or scanner.lines_recent < ENOUGH_LINES or scanner.share <= SLOW_LINES:
        return
    cause = scanner.causes[0].cause if scanner.causes else ""
    words = CAUSES.get(cause, Text(cause, cause))
    en, zh = (
        "{share} of the lines take the slow door, ten times as dear, mostly for: "
        + words.en
        + ". Change what the sender "
        "writes: docs/events.md has the types and their fields.",
        "{share} 的行走慢速通道（开销约十倍），主要原因："
        + words.zh
        + "。请调整发送方的写法：类型与字段见 docs/events.md。",
    )
    yield say("slow-door", Weight.HINT, en, zh, share=percent(scanner.share))


def dear_rules(view: PlaneView) -> Iterator[Advice]:
    """One rule takes much of the time of all."""
    if view.rules.fold_share < DEAR_RULES or view.rules.count < 2:
        return
    for rule in view.rules.items:
        if rule.share > DEAR_RULE:
            yield say(
                "rule-dear",
                Weight.HINT,
                "The rule {id} takes {share} of the rules' time, and the rules {all} of the fold's. Put its cheapest "
                "and rarest condition first, and name the event types it is about.",
                "规则 {id} 占全部规则耗时的 {share}，规则又占计算耗时的 {all}。请把最便宜、最少成立的条件放在最前，"
                "并写明它适用的事件类型。",
                id=rule.id,
                share=percent(rule.share),
                all=percent(view.rules.fold_share),
            )


def plain(view: PlaneView) -> Iterator[Advice]:
    """The kernels do not compute."""
    if not view.compiled:
        yield say(
            "plain-plane",
            Weight.HINT,
            "The plain plane computes: the same values, dozens of times slower. Install numba, unset TOCSIN_PLAIN and "
            "start again.",
            "当前为纯 Python 数据面：结果相同，但慢数十倍。请安装 numba、取消 TOCSIN_PLAIN 后重新启动。",
        )


LOOKS: tuple[Callable[[PlaneView], Iterator[Advice]], ...] = (
    refusing,
    faults,
    shed,
    late_verdicts,
    waiting,
    fold_full,
    scan_full,
    disk_slow,
    short_windows,
    short_ids,
    snapshots,
    journal,
    history,
    slow_door,
    dear_rules,
    warming,
    plain,
)
"""In the order in which they are said where they weigh the same."""
