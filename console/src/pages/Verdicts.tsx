import { Select } from "antd";
import { lazy, Suspense } from "react";

import { useVerdict, useVerdicts } from "../api/queries";
import type { Verdict } from "../api/types";
import { useQueryState } from "../hooks/useQueryState";
import { readOf, useSteady } from "../hooks/useSteady";
import { useI18n } from "../i18n/I18n";
import { Choice } from "../parts/Choice";
import { WordMark } from "../parts/Mark";
import { Money } from "../parts/Money";
import { Search } from "../parts/Search";
import { Empty, Fresh, More, QueryState } from "../parts/States";
import { Subject } from "../parts/Subject";
import { Clock } from "../parts/Time";
import { PageHead } from "../shell/PageHead";
import { ScoreBar } from "../verdicts/ScoreBar";

const Why = lazy(() => import("../verdicts/Why"));

const DECISIONS = ["allow", "challenge", "hold", "deny"];
const TYPES = ["order.placed", "payment.attempted", "account.login", "account.registered", "http.request", "refund.requested"];

export default function Verdicts() {
  const { t, word } = useI18n();
  const [decision, setDecision] = useQueryState("decision");
  const [side, setSide] = useQueryState("of", "computed");
  const [type, setType] = useQueryState("type");
  const [search, setSearch] = useQueryState("q");
  const [why, setWhy] = useQueryState("why");
  const query = useVerdicts({ [side === "served" ? "decision" : "computed"]: decision, type, q: search });
  const steady = useSteady(readOf(query), `${side}|${decision}|${type}|${search}`);
  const listed = steady.rows.find((verdict) => verdict.id === why);
  const asked = useVerdict(why && !listed && query.data ? why : "").data;
  return (
    <>
      <PageHead title={t("nav.verdicts")}>
        <Search value={search} change={setSearch} hint={t("verdicts.search")} />
      </PageHead>
      <div className="filters">
        <Select
          aria-label={t("verdict.side")}
          value={side}
          onChange={setSide}
          popupMatchSelectWidth={false}
          options={[
            { value: "computed", label: t("verdict.by_computed") },
            { value: "served", label: t("verdict.by_served") },
          ]}
        />
        <Choice
          label={t("verdict.decision")}
          value={decision}
          change={setDecision}
          options={[{ value: "", label: t("filter.all") }, ...DECISIONS.map((value) => ({ value, label: word("decision", value) }))]}
        />
        <Select
          aria-label={t("verdict.type")}
          value={type}
          onChange={setType}
          popupMatchSelectWidth={false}
          options={[{ value: "", label: t("filter.all_types") }, ...TYPES.map((value) => ({ value, label: word("type", value) }))]}
        />
        <span className="spring" />
        <Fresh count={steady.fresh} show={steady.show} />
      </div>
      <section className="panel" aria-label={t("nav.verdicts")}>
        <QueryState query={query} />
        {steady.rows.length ? (
          <>
            <div className="verdict-row head" aria-hidden="true">
              <span>{t("verdict.time")}</span>
              <span>{t("verdict.decision")}</span>
              <span>{t("verdict.event")}</span>
              <span className="right">{t("verdict.amount")}</span>
              <span>{t("verdict.score")}</span>
              <span>{t("verdict.reason")}</span>
            </div>
            <ul className="rows" data-list="verdicts">
              {steady.rows.map((verdict) => (
                <Row key={verdict.id} verdict={verdict} open={() => setWhy(verdict.id)} />
              ))}
            </ul>
          </>
        ) : query.data ? (
          <Empty icon="verdict">{search || decision || type ? t("verdicts.none_match") : t("verdicts.none")}</Empty>
        ) : null}
        <More query={query} />
      </section>
      <Suspense fallback={null}>{why ? <Why verdict={listed ?? asked ?? null} close={() => setWhy("")} /> : null}</Suspense>
    </>
  );
}

function Row({ verdict, open }: { verdict: Verdict; open: () => void }) {
  const { t, word, text } = useI18n();
  const [reason] = verdict.reasons;
  return (
    <li className="verdict-row" data-rowbox data-id={verdict.id}>
      <Clock time={verdict.time} />
      <span className="marks">
        <WordMark list="decision" value={verdict.computed} />
        {verdict.computed === verdict.served ? null : (
          <span className="quiet">{t("verdict.served_was", { decision: word("decision", verdict.served) })}</span>
        )}
      </span>
      <button type="button" className="rowbutton" data-row onClick={open}>
        <span>{word("type", verdict.event_type)}</span> <Subject subject={verdict.subject} />
      </button>
      <span className="cell right">
        {typeof verdict.amount === "number" ? <Money minor={verdict.amount} currency={verdict.currency} /> : <span className="quiet">–</span>}
      </span>
      <ScoreBar score={verdict.score} />
      <span className="verdict-reason">{reason ? text(reason.text) : null}</span>
    </li>
  );
}
