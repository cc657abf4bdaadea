"""The guard: kill never allows, budgets hold in any order, approval passes ASK alone, stricter is never freer."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.action import VERBS, Action, ActionState, Answer
from tocsin.core.events import SECOND
from tocsin.core.guard import Budget, GuardState, automation_of, budget_of, guard, spent_within
from tocsin.core.playbook import Automation

LEVELS = list(Automation)
STRICTNESS = {Answer.ALLOW: 0, Answer.ASK: 1, Answer.DENY: 2}
FREE = GuardState(now=0, ceiling=Automation.AUTO, automation={"playbook:p": Automation.AUTO})


def action(verb: str = "ip.block", target: str = "ip:203.0.113.7", **more: object) -> Action:
    ttl_s = VERBS[verb].ttl_s if verb in VERBS else 60
    values = {"id": "a1", "shop": "s", "incident": "i", "playbook": "p", "step": 1, "verb": verb, "target": target}
    return Action(**{**values, "ttl_s": ttl_s, **more})  # type: ignore[arg-type]


def codes(ruling: object) -> list[str]:
    return [reason.code for reason in ruling.reasons]  # type: ignore[attr-defined]


actions = st.builds(
    action,
    verb=st.sampled_from(sorted(VERBS)),
    target=st.sampled_from(["ip:203.0.113.7", "ip:10.0.0.5", "account:a", "service:alpha", "shop:s", "sku:x"]),
    ttl_s=st.sampled_from([0, 60, 900, 90_000]),
    cost=st.integers(0, 40),
)
live = st.builds(
    action,
    id=st.sampled_from(["a1", "b2", "b3"]),
    verb=st.sampled_from(sorted(VERBS)),
    target=st.sampled_from(["ip:203.0.113.7", "service:alpha", "sku:x"]),
    state=st.sampled_from(list(ActionState)),
)
states = st.builds(
    GuardState,
    now=st.just(1000),
    kill=st.booleans(),
    ceiling=st.sampled_from(LEVELS),
    automation=st.dictionaries(
        st.sampled_from(["playbook:p", "verb:ip.block", "verb:notify"]), st.sampled_from(LEVELS)
    ),
    budgets=st.dictionaries(st.sampled_from(sorted(VERBS)), st.builds(Budget, st.integers(0, 60), st.just(3600))),
    spent=st.dictionaries(st.sampled_from(sorted(VERBS)), st.integers(0, 60)),
    protected=st.frozensets(st.sampled_from(["ip:203.0.113.7", "ip:10.0.0.0/8", "account:a"])),
    live_on_target=st.lists(live, max_size=3),
    live=st.dictionaries(st.sampled_from(["gateway.failover", "shop.protect"]), st.integers(0, 3)),
    campaign_factor=st.sampled_from([0.5, 1.0, 2.0]),
    approved_by=st.sampled_from(["", "mei"]),
)


@given(actions, states)
def test_with_the_kill_switch_on_nothing_is_allowed(wish: Action, state: GuardState) -> None:
    ruling = guard(wish, msgspec.structs.replace(state, kill=True))
    assert ruling.answer is Answer.DENY and "kill-switch" in codes(ruling)


@given(actions, states)
def test_a_person_passes_what_asks_and_nothing_else(wish: Action, state: GuardState) -> None:
    alone = guard(wish, msgspec.structs.replace(state, approved_by=""))
    approved = guard(wish, msgspec.structs.replace(state, approved_by="mei"))
    assert approved.answer is (Answer.DENY if alone.answer is Answer.DENY else Answer.ALLOW)
    assert alone.id != approved.id and all(reason.text.en and reason.text.zh for reason in approved.reasons)


@given(actions, states, st.data())
def test_a_stricter_setting_never_makes_it_freer(wish: Action, state: GuardState, data: st.DataObject) -> None:
    budget = budget_of(wish.verb, state)
    lower = [level for level in LEVELS if LEVELS.index(level) <= LEVELS.index(state.ceiling)]
    stricter = data.draw(
        st.sampled_from(
            [
                {"kill": True},
                {"approved_by": ""},
                {"ceiling": data.draw(st.sampled_from(lower))},
                {"automation": {**state.automation, "playbook:p": Automation.SUGGEST}},
                {"automation": {**state.automation, f"verb:{wish.verb}": Automation.SUGGEST}},
                {"spent": {**state.spent, wish.verb: state.spent.get(wish.verb, 0) + data.draw(st.integers(0, 50))}},
                {"budgets": {**state.budgets, wish.verb: Budget(max(0, budget.limit // 3), budget.per_s)}},
                {"protected": state.protected | {wish.target}},
                {"live_on_target": [*state.live_on_target, data.draw(live)]},
                {"live": {**state.live, wish.verb: state.live.get(wish.verb, 0) + 1}},
                {"campaign_factor": state.campaign_factor / 2},
            ]
        )
    )
    free, strict = guard(wish, state), guard(wish, msgspec.structs.replace(state, **stricter))
    assert STRICTNESS[strict.answer] >= STRICTNESS[free.answer]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 7), st.booleans()), max_size=60),
    st.integers(0, 20),
    st.integers(60, 900),
)
def test_a_budget_is_never_exceeded_in_any_sliding_period(
    wishes: list[tuple[int, int, bool]], limit: int, per_s: int
) -> None:
    budgets = {"ip.block": Budget(limit, per_s)}
    done: list[Action] = []
    for number, (second, cost, approved) in enumerate(sorted(wishes)):
        now = second * SECOND
        wish = action(id=f"w{number}", target=f"ip:198.51.100.{number}", cost=cost)
        state = msgspec.structs.replace(
            FREE,
            now=now,
            budgets=budgets,
            spent=spent_within(done, budgets, now),
            approved_by="mei" if approved else "",
        )
        if guard(wish, state).answer is Answer.ALLOW:
            done.append(msgspec.structs.replace(wish, state=ActionState.DUE, decided=now))
    for start in (one.decided for one in done):
        within = [one.cost for one in done if start <= one.decided < start + per_s * SECOND]
        assert sum(within) <= limit


def test_a_new_playbook_only_suggests_until_a_person_lets_it_go_further() -> None:
    fresh = GuardState(now=0, ceiling=Automation.AUTO)
    assert automation_of(action(), fresh) is Automation.SUGGEST
    assert codes(guard(action(), fresh)) == ["suggest"] and guard(action(), fresh).answer is Answer.ASK
    assert guard(action(), FREE).answer is Answer.ALLOW and codes(guard(action(), FREE)) == ["within-limits"]
    ceiling = msgspec.structs.replace(FREE, ceiling=Automation.APPROVE)
    assert codes(guard(action(), ceiling)) == ["approval"]


def test_what_lasts_needs_an_end_and_what_cannot_be_undone_needs_a_person() -> None:
    assert "ttl-missing" in codes(guard(action(ttl_s=0), FREE))
    assert "ttl-long" in codes(guard(action(ttl_s=86_401), FREE))
    assert "irreversible" in codes(guard(action("reply.send", "account:a", ttl_s=0), FREE))
    assert guard(action("notify", "shop:s", ttl_s=0), FREE).answer is Answer.ALLOW


def test_protected_subjects_and_ranges_need_a_person() -> None:
    state = msgspec.structs.replace(FREE, protected=frozenset({"ip:203.0.113.7", "ip:10.0.0.0/8"}))
    assert guard(action(), state).answer is Answer.ASK
    assert "protected" in codes(guard(action(target="ip:10.1.2.3"), state))
    assert guard(action(target="ip:198.51.100.1"), state).answer is Answer.ALLOW


def test_what_touches_the_whole_shop_asks_even_on_auto() -> None:
    wish = action("shop.protect", "shop:s")
    assert codes(guard(wish, FREE)) == ["shop-wide"]
    assert guard(wish, msgspec.structs.replace(FREE, approved_by="mei")).answer is Answer.ALLOW


def test_a_live_action_on_the_target_is_a_duplicate_an_opposing_one_asks() -> None:
    def beside(verb: str, target: str, state: ActionState = ActionState.DONE) -> GuardState:
        other = action(verb, target, id="other", state=state)
        return msgspec.structs.replace(FREE, live_on_target=[other])

    target = "ip:203.0.113.7"
    assert codes(guard(action(), beside("ip.block", target))) == ["duplicate"]
    assert codes(guard(action("ip.challenge", target), beside("ip.block", target))) == ["duplicate"]
    assert guard(action(), beside("ip.challenge", target)).answer is Answer.ALLOW
    assert codes(guard(action(), beside("ip.block", target, ActionState.UNDOING))) == ["undoing"]
    assert guard(action(), beside("ip.block", target, ActionState.UNDONE)).answer is Answer.ALLOW
    failover = action("gateway.failover", "service:alpha")
    assert codes(guard(failover, beside("service.scale", "service:alpha"))) == ["opposing"]


def test_a_second_gateway_is_not_taken_out_without_a_person() -> None:
    state = msgspec.structs.replace(FREE, live={"gateway.failover": 1})
    assert codes(guard(action("gateway.failover", "service:beta"), state)) == ["blast-radius"]
    assert codes(guard(action(cost=300), FREE)) == ["blast-share"]


def test_a_campaign_widens_budgets_and_ruling_twice_is_one_ruling() -> None:
    state = msgspec.structs.replace(FREE, budgets={"ip.block": Budget(10)}, spent={"ip.block": 10})
    assert guard(action(), state).answer is Answer.DENY
    assert guard(action(), msgspec.structs.replace(state, campaign_factor=2.0)).answer is Answer.ALLOW
    assert guard(action(), state).id == guard(action(), state).id
    assert guard(action(), state).id != guard(action(attempts=1), state).id
    assert codes(guard(action("nothing.known", "ip:x"), FREE)) == ["malformed"]
