import { Button } from "antd";
import { lazy, Suspense } from "react";

import { useRules } from "../api/queries";
import type { RuleView } from "../api/types";
import { useQueryState } from "../hooks/useQueryState";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { WordMark } from "../parts/Mark";
import { Search } from "../parts/Search";
import { Empty, QueryState } from "../parts/States";
import { PageHead } from "../shell/PageHead";

const RuleDrawer = lazy(() => import("../rules/RuleDrawer"));

const NEW = "new";

function matches(view: RuleView, search: string): boolean {
  const { rule } = view;
  const all = [rule.id, rule.when, rule.code, rule.text.en, rule.text.zh, rule.desk].join(" ").toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

export default function Rules() {
  const { t, word, text } = useI18n();
  const [search, setSearch] = useQueryState("q");
  const [at, setAt] = useQueryState("at");
  const query = useRules();
  const rows = (query.data ?? []).filter((view) => matches(view, search));
  const edited = query.data?.find((view) => view.rule.id === at);
  return (
    <>
      <PageHead title={t("nav.rules")}>
        <Search value={search} change={setSearch} hint={t("rules.search")} />
        <Button onClick={() => setAt(NEW)}>
          <Icon name="edit" /> {t("rules.new")}
        </Button>
      </PageHead>
      <section className="panel" aria-label={t("nav.rules")}>
        <QueryState query={query} />
        {rows.length ? (
          <ul className="rows" data-list="rules">
            {rows.map(({ rule, stored }) => (
              <li key={rule.id} className="rule-row" data-rowbox data-id={rule.id}>
                <WordMark list="mode" value={rule.mode} />
                <div>
                  <button type="button" className="rowbutton" data-row onClick={() => setAt(rule.id)}>
                    <b>{text(rule.text)}</b>
                    <code className="when">{rule.when}</code>
                  </button>
                  <p className="quiet">
                    <code>{rule.id}</code>
                    {rule.desk ? ` · ${word("desk", rule.desk)}` : ""}
                    {stored ? ` · ${t("rules.changed")}` : ""}
                  </p>
                </div>
                <WordMark list="decision" value={rule.decision} />
              </li>
            ))}
          </ul>
        ) : query.data ? (
          <Empty icon="rule">{search ? t("rules.none_match") : t("rules.none")}</Empty>
        ) : null}
      </section>
      <Suspense fallback={null}>
        {at === NEW || edited ? <RuleDrawer key={at} view={edited ?? null} close={() => setAt("")} /> : null}
      </Suspense>
    </>
  );
}
