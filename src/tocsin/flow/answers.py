"""Answers: what the desks and rules say of a slice's rows, put together; the strictest live decision wins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.signal import Decision, Mode, Reason
from tocsin.flow.outputs import Row, Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.core.desk import Judgement
    from tocsin.flow.batch import FeatureTable
    from tocsin.flow.rules import Ready

DESK_TTL_S = 900
"""How long a desk's own decision holds."""
BY_RANK = tuple(Decision)
RANK = {decision: rank for rank, decision in enumerate(BY_RANK)}


class Draft:
    """The decisions on one row: of what is live, of everything, with reasons, rules and times to live."""

    __slots__ = ("computed", "desk", "live_reasons", "live_rules", "live_ttl", "reasons", "rules", "shadow", "ttl")

    def __init__(self) -> None:
        self.computed = self.shadow = 0
        self.desk = ""
        self.live_ttl = self.ttl = DESK_TTL_S
        self.live_reasons: list[Reason] = []
        self.reasons: list[Reason] = []
        self.live_rules: list[str] = []
        self.rules: list[str] = []

    def decide(self, decision: Decision, desk: str, ttl_s: int, *, live: bool) -> None:
        """Take in one decision; of equally strict ones the longest holds."""
        rank = RANK[decision]
        if rank > self.shadow:
            self.shadow, self.desk, self.ttl = rank, desk, ttl_s
        elif rank == self.shadow:
            self.ttl = max(self.ttl, ttl_s)
        if live and rank > self.computed:
            self.computed, self.live_ttl = rank, ttl_s
        elif live and rank == self.computed:
            self.live_ttl = max(self.live_ttl, ttl_s)


class Answers:
    """The answers of one slice of ``n`` rows; desks speak in their order, each followed by its rules."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.scores = np.full(n, np.nan)
        self._scorer = np.full(n, -1)
        self._desks: list[tuple[str, str, np.ndarray, FeatureTable]] = []
        self._drafts: dict[int, Draft] = {}

    def seat(self, desk: str, model: str, rows: np.ndarray, table: FeatureTable) -> None:
        """Give the floor to a desk: where its rows stand in the slice, and its features of them."""
        self._desks.append((desk, model, rows, table))

    def scored(self, judged: Judgement) -> None:
        """Take in the scores of the desk that has the floor; the highest score of a row counts."""
        rows = self._desks[-1][2]
        finite = np.isfinite(judged.scores)
        better = finite & ~(self.scores[rows] >= judged.scores)
        self.scores[rows[better]] = judged.scores[better]
        self._scorer[rows[better]] = len(self._desks) - 1

    def decided(self, judged: Judgement, *, live: bool) -> None:
        """Take in the decisions and reasons of the desk that has the floor."""
        desk, _, rows, _ = self._desks[-1]
        for place, decision in judged.decisions.items():
            if decision is not Decision.ALLOW:
                self._draft(int(rows[place])).decide(decision, desk, DESK_TTL_S, live=live)
        for place, reasons in judged.reasons.items():
            draft = self._draft(int(rows[place]))
            (draft.live_reasons if live else draft.reasons).extend(reasons)

    def ruled(self, ready: Ready, rows: Sequence[int]) -> None:
        """Take in a rule that fired on these rows of the slice."""
        rule, live = ready.rule, ready.rule.mode is Mode.LIVE
        for row in rows:
            draft = self._draft(row)
            if rule.decision is not Decision.ALLOW:
                draft.decide(rule.decision, rule.desk, rule.ttl_s, live=live)
                (draft.live_reasons if live else draft.reasons).append(ready.reason)
            (draft.live_rules if live else draft.rules).append(rule.id)

    def _draft(self, row: int) -> Draft:
        draft = self._drafts.get(row)
        if draft is None:
            draft = self._drafts[row] = Draft()
        return draft

    def scored_only(self) -> list[Scored]:
        """Return the rows that were scored and that nobody objected to, a desk each."""
        quiet = np.isfinite(self.scores)
        for row, one in self._drafts.items():
            quiet[row] &= not one.shadow
        found = []
        for place, (desk, model, rows, table) in enumerate(self._desks):
            inside = np.flatnonzero(quiet[rows] & (self._scorer[rows] == place))
            if len(inside):
                index = rows[inside]
                found.append(
                    Scored(
                        desk=desk,
                        model=model,
                        index=index,
                        scores=self.scores[index],
                        names=tuple(table.names),
                        features=table.pick(inside).matrix(table.names),
                    )
                )
        return found

    def rows(self, asked: Iterable[int], offset: int, *, bulk: bool = False) -> list[Row]:
        """Return the rows that were scored, decided on or asked for; ``offset`` is the slice's place in the batch.

        In ``bulk`` those that were only scored are left to ``scored_only``.
        """
        if asked == range(self.n):
            chosen = np.arange(self.n)
        else:
            wanted = np.zeros(self.n, bool) if bulk else np.isfinite(self.scores)
            for row, one in self._drafts.items():
                wanted[row] |= one.shadow > 0
            wanted[list(asked)] = True
            chosen = np.flatnonzero(wanted)
        owners = self._owners(chosen)
        features = self._features(chosen, owners)
        found = []
        decided = self._drafts.get
        for row, owner, score in zip(chosen.tolist(), owners, self.scores[chosen].tolist(), strict=True):
            draft = decided(row)
            desk, model = self._desks[owner][:2] if owner >= 0 else ("", "")
            if draft is None:
                found.append(
                    Row(
                        index=row + offset,
                        score=None if math.isnan(score) else score,
                        computed=Decision.ALLOW,
                        shadow=Decision.ALLOW,
                        features=features.get(row, {}),
                        model=model if self._scorer[row] >= 0 else "",
                        desk=desk,
                    )
                )
                continue
            held = draft.computed > 0 or not draft.shadow
            found.append(
                Row(
                    index=row + offset,
                    score=None if math.isnan(score) else score,
                    computed=BY_RANK[draft.computed],
                    shadow=BY_RANK[draft.shadow],
                    reasons=tuple(draft.live_reasons if held else [*draft.live_reasons, *draft.reasons]),
                    rules=(*draft.live_rules, *draft.rules),
                    features=features.get(row, {}),
                    model=model if self._scorer[row] >= 0 else "",
                    desk=desk,
                    ttl_s=draft.live_ttl if held else draft.ttl,
                )
            )
        return found

    @property
    def _alone(self) -> bool:
        """Whether one desk has read all rows."""
        return len(self._desks) == 1 and len(self._desks[0][2]) == self.n

    def _owners(self, chosen: np.ndarray) -> list[int]:
        """Return whose features go with each row: the scorer's, the strictest decision's, or the first reader's."""
        if self._alone:
            return [0] * len(chosen)
        places = {desk: place for place, (desk, _, _, _) in enumerate(self._desks)}
        owners = self._scorer[chosen].tolist()
        for at, row in enumerate(chosen.tolist()):
            if owners[at] >= 0:
                continue
            draft = self._drafts.get(row)
            if draft is not None and draft.desk in places:
                owners[at] = places[draft.desk]
                continue
            for place, (_, _, rows, _) in enumerate(self._desks):
                found = int(np.searchsorted(rows, row))
                if found < len(rows) and rows[found] == row:
                    owners[at] = place
                    break
        return [int(owner) for owner in owners]

    def _features(self, chosen: np.ndarray, owners: Sequence[int]) -> dict[int, dict[str, float | None]]:
        if self._alone:
            return dict(zip(chosen.tolist(), self._desks[0][3].dicts(chosen), strict=True))
        found: dict[int, dict[str, float | None]] = {}
        by_owner = np.array(owners, np.int64)
        for place, (_, _, rows, table) in enumerate(self._desks):
            mine = chosen[by_owner == place]
            inside = np.searchsorted(rows, mine)
            known = inside < len(rows)
            known[known] = rows[inside[known]] == mine[known]
            found.update(zip(mine[known].tolist(), table.dicts(inside[known]), strict=True))
        return found
