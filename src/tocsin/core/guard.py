"""The guard: the only judge of safety. Pure, written once; a limit is a row of the state, never an ``if`` for one desk.

Every check returns grounds, each with the answer that it calls for; the strictest one wins. A person's approval
answers ASK grounds, never DENY ones. So the guard is monotone: a stricter setting never makes it more permissive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network

import msgspec

from tocsin.core.action import VERBS, Action, ActionState, Answer, Reasoned, Ruling, Verb
from tocsin.core.events import SECOND, Entity, derived_id, split_subject
from tocsin.core.playbook import Automation
from tocsin.core.signal import Text

MAX_TTL_S = 24 * 3600
"""Longest life of an automatic effect; a longer one needs a person."""

OPPOSING: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("gateway.failover", "service.scale"),
        ("order.hold", "shipment.reroute"),
        ("sku.pause", "stock.reorder"),
        ("sku.pause", "price.propose"),
    )
)
"""Verbs that work against each other on one target."""

COVERED_BY: Mapping[str, frozenset[str]] = {"ip.challenge": frozenset({"ip.block"})}
"""Verb -> stronger verbs; while one of those is live on the target, the weaker one adds nothing."""

DEFAULT_RADIUS: Mapping[str, int] = {"gateway.failover": 1, "shop.protect": 1}
"""How many effects of a verb may be live at once without a person, where the state has no row for it."""

_STRICTNESS = {Answer.ALLOW: 0, Answer.ASK: 1, Answer.DENY: 2}
_FREEDOM = {Automation.SUGGEST: 0, Automation.APPROVE: 1, Automation.AUTO: 2}
_COUNTED = frozenset(set(ActionState) - {ActionState.ASKED, ActionState.SUGGESTED, ActionState.DENIED})
_LIVE = frozenset({ActionState.DUE, ActionState.DONE, ActionState.UNDOING})


class Budget(msgspec.Struct, frozen=True):
    """At most ``limit`` business units of a verb within any ``per_s`` seconds."""

    limit: int
    per_s: int = 3600


class GuardState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the guard looks at, beside the action.

    ``automation`` holds rows ``playbook:NAME`` and ``verb:NAME``; a playbook without a row stands in suggest, a verb
    without one adds no limit of its own. ``spent`` counts units of each verb within its budget's period (see
    ``spent_within``). ``protected`` holds subjects (``account:...``); for addresses also ranges (``ip:10.0.0.0/8``).
    ``live_on_target`` are actions on the same target; those that are not live are ignored. ``live`` counts the live
    effects per verb, ``radius`` how many of them need no person. ``campaign_factor`` multiplies every budget.
    """

    now: int
    kill: bool = False
    ceiling: Automation = Automation.SUGGEST
    automation: Mapping[str, Automation] = {}
    budgets: Mapping[str, Budget] = {}
    spent: Mapping[str, int] = {}
    protected: frozenset[str] = frozenset()
    live_on_target: Sequence[Action] = ()
    live: Mapping[str, int] = {}
    radius: Mapping[str, int] = {}
    campaign_factor: float = 1.0
    approved_by: str = ""


class Ground(msgspec.Struct, frozen=True):
    """One reason of the guard and the answer that it calls for."""

    answer: Answer
    code: str
    text: Text


def guard(action: Action, state: GuardState) -> Ruling:
    """Return the ruling on an action: the strictest answer of all grounds, with every ground.

    The id derives from the action, its version, its attempts and who approves, so ruling twice on the same thing is one
    ruling, and a person's yes does not replace the question on record.
    """
    grounds = [*_grounds(action, state)]
    answer = max((ground.answer for ground in grounds), key=_STRICTNESS.__getitem__, default=Answer.ALLOW)
    by = "guard"
    if answer is Answer.ASK and state.approved_by:
        answer, by = Answer.ALLOW, state.approved_by
        grounds.append(_ground(Answer.ALLOW, "approved", "Approved by {who}", "已由 {who} 批准", who=state.approved_by))
    if not grounds:
        grounds.append(_ground(Answer.ALLOW, "within-limits", "Within all limits", "在所有限额之内"))
    return Ruling(
        id=derived_id("ruling", action.id, action.version, action.attempts, state.approved_by),
        action=action.id,
        answer=answer,
        reasons=tuple(Reasoned(ground.code, ground.text) for ground in grounds),
        time=state.now,
        by=by,
    )


def automation_of(action: Action, state: GuardState) -> Automation:
    """Return how far this action may go by itself: the least of ceiling, its playbook's row and its verb's row."""
    rows = (
        state.ceiling,
        state.automation.get(f"playbook:{action.playbook}", Automation.SUGGEST),
        state.automation.get(f"verb:{action.verb}", Automation.AUTO),
    )
    return min(rows, key=_FREEDOM.__getitem__)


def budget_of(verb: str, state: GuardState) -> Budget:
    """Return the verb's budget as it stands now: its row or the verb's default, times the campaign's factor."""
    row = state.budgets.get(verb) or Budget(VERBS[verb].per_hour if verb in VERBS else 0)
    factor = state.campaign_factor if math.isfinite(state.campaign_factor) else 1.0
    return Budget(math.floor(row.limit * max(factor, 0.0)), row.per_s)


def spent_within(actions: Iterable[Action], budgets: Mapping[str, Budget], now: int) -> dict[str, int]:
    """Return the units of each verb that were ruled ALLOW within its budget's sliding period (now - per_s, now].

    An action counts from its ``decided`` time on, also after it failed, was undone or expired.
    """
    spent: dict[str, int] = {}
    for action in actions:
        period = budgets[action.verb].per_s if action.verb in budgets else 3600
        if action.state in _COUNTED and action.decided > now - period * SECOND:
            spent[action.verb] = spent.get(action.verb, 0) + action.cost
    return spent


def _ground(answer: Answer, code: str, en: str, zh: str, **values: object) -> Ground:
    return Ground(answer, code, Text(en, zh).filled(values))


def _grounds(action: Action, state: GuardState) -> Iterable[Ground]:
    """Yield every ground against doing it at once; the order is the order of the text."""
    if state.kill:
        yield _ground(Answer.DENY, "kill-switch", "The kill switch is on", "总闸已拉下")
    verb = VERBS.get(action.verb)
    if verb is None or action.cost < 0:
        yield _ground(Answer.DENY, "malformed", "Unknown verb or negative cost", "未知动作或成本为负")
        return
    yield from _automation(action, state)
    yield from _budget(action, verb, state)
    yield from _lifetime(action, verb)
    yield from _protection(action, verb, state)
    yield from _conflicts(action, state)
    yield from _radius(action, verb, state)


def _automation(action: Action, state: GuardState) -> Iterable[Ground]:
    level = automation_of(action, state)
    if level is Automation.SUGGEST:
        yield _ground(Answer.ASK, "suggest", "Only suggested: automation is off here", "仅建议：此处未开启自动处置")
    elif level is Automation.APPROVE:
        yield _ground(Answer.ASK, "approval", "A person has to approve this", "需要人工批准")


def _budget(action: Action, verb: Verb, state: GuardState) -> Iterable[Ground]:
    budget, spent = budget_of(action.verb, state), state.spent.get(action.verb, 0)
    if spent + action.cost > budget.limit:
        yield _ground(
            Answer.DENY,
            "budget",
            "Budget of {verb} is used up: {spent} + {cost} of {limit} {unit} in {minutes} min",
            "{verb} 额度已用尽：{minutes} 分钟内 {spent} + {cost}，上限 {limit}（{unit}）",
            verb=action.verb,
            spent=spent,
            cost=action.cost,
            limit=budget.limit,
            unit=verb.unit.value,
            minutes=budget.per_s // 60,
        )


def _lifetime(action: Action, verb: Verb) -> Iterable[Ground]:
    if verb.ttl_s and action.ttl_s <= 0:
        yield _ground(Answer.ASK, "ttl-missing", "The effect would never expire", "该效果没有有效期")
    if action.ttl_s > MAX_TTL_S:
        yield _ground(
            Answer.ASK, "ttl-long", "The effect would last more than {hours} h", "效果将超过 {hours} 小时", hours=24
        )
    if not verb.reversible:
        yield _ground(Answer.ASK, "irreversible", "This cannot be taken back", "该动作无法撤销")


def _protection(action: Action, verb: Verb, state: GuardState) -> Iterable[Ground]:
    entity, key = split_subject(action.target)
    if action.target in state.protected or (entity == Entity.IP and _in_ranges(key, state.protected)):
        yield _ground(
            Answer.ASK, "protected", "{target} is protected", "{target} 受保护，不得自动处置", target=action.target
        )
    if verb.ttl_s and (entity == Entity.SHOP or verb.target is Entity.SHOP):
        yield _ground(Answer.ASK, "shop-wide", "This touches the whole shop", "该动作影响整个商店")


def _in_ranges(key: str, protected: frozenset[str]) -> bool:
    """Return whether an address lies in a protected range; a key that is no address counts as protected."""
    ranges = [row.removeprefix("ip:") for row in protected if row.startswith("ip:") and "/" in row]
    if not ranges:
        return False
    try:
        address = ip_address(key)
        return any(address in ip_network(row, strict=False) for row in ranges)
    except ValueError:
        return True


def _conflicts(action: Action, state: GuardState) -> Iterable[Ground]:
    for other in state.live_on_target:
        lasting = other.ttl_s > 0 or (other.verb in VERBS and VERBS[other.verb].ttl_s > 0)
        if other.id == action.id or other.target != action.target or other.state not in _LIVE or not lasting:
            continue
        values = {"verb": other.verb, "target": other.target}
        if frozenset((other.verb, action.verb)) in OPPOSING:
            yield _ground(
                Answer.ASK, "opposing", "{verb} works against it on {target}", "{target} 上的 {verb} 与之相反", **values
            )
        elif other.verb == action.verb and other.state is ActionState.UNDOING:
            yield _ground(
                Answer.ASK, "undoing", "{verb} on {target} is being undone", "{target} 上的 {verb} 正在撤销", **values
            )
        elif other.verb == action.verb or other.verb in COVERED_BY.get(action.verb, frozenset()):
            yield _ground(
                Answer.DENY, "duplicate", "{verb} is already live on {target}", "{target} 已有生效的 {verb}", **values
            )


def _radius(action: Action, verb: Verb, state: GuardState) -> Iterable[Ground]:
    radius = state.radius.get(action.verb, DEFAULT_RADIUS.get(action.verb, 0))
    if verb.ttl_s and radius and state.live.get(action.verb, 0) >= radius:
        yield _ground(
            Answer.ASK,
            "blast-radius",
            "{live} effects of {verb} are live already; more need a person",
            "{verb} 已有 {live} 个生效，更多需人工确认",
            live=state.live.get(action.verb, 0),
            verb=action.verb,
        )
    limit = budget_of(action.verb, state).limit
    if limit > 1 and action.cost * 2 > limit:
        yield _ground(
            Answer.ASK,
            "blast-share",
            "One action would take more than half of the budget",
            "单个动作将占用过半额度",
        )
