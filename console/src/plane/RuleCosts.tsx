import type { PlaneView } from "../api/types";
import { count, percent, short } from "../format/format";
import { useSteady } from "../hooks/useSteady";
import { useI18n } from "../i18n/I18n";
import { WordMark } from "../parts/Mark";
import { Fresh } from "../parts/States";
import { Share } from "./Share";

/** The dearest rules, in the order in which they stood when the page was opened. */
export function RuleCosts({ rules }: { rules: PlaneView["rules"] }) {
  const { t, word, language } = useI18n();
  const steady = useSteady({ items: [...rules.items], settled: true, pages: 1 }, "rules");
  return (
    <section className="panel" aria-labelledby="costs">
      <div className="panelhead">
        <h2 id="costs">{t("plane.rules")}</h2>
        <span className="quiet">{t("plane.rules_lead", { share: percent(rules.fold_share, language), count: count(rules.count, language) })}</span>
        <span className="spring" />
        <Fresh count={steady.fresh} show={steady.show} />
      </div>
      <ul className="rows" data-list="rule-costs">
        {steady.rows.map((rule) => {
          const errors = Object.entries(rule.errors).filter(([, number]) => number > 0);
          return (
            <li key={rule.id} className={`cost-row${steady.gone.has(rule.id) ? " gone" : ""}`} data-rowbox data-id={rule.id}>
              <div className="cost-what" data-row tabIndex={0}>
                <b>{rule.id}</b>
                <p className="quiet">
                  {rule.desk ? word("desk", rule.desk) : t("plane.all_desks")} ·{" "}
                  {t("plane.hits", { count: count(rule.hits, language) })}
                  {errors.length ? ` · ${t("plane.errors", { list: errors.map(([cause, number]) => `${word("error", cause)} ${count(number, language)}`).join(", ") })}` : ""}
                </p>
              </div>
              <WordMark list="mode" value={rule.mode} />
              <Share share={rule.share} label={`${percent(rule.share, language)} · ${short(rule.seconds, language)}`} />
            </li>
          );
        })}
      </ul>
    </section>
  );
}
