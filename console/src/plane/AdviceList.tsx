import type { Advice } from "../api/types";
import { useSteady } from "../hooks/useSteady";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { Mark, WordMark } from "../parts/Mark";

/** What is slow and what to do about it. Lines stay where they are: what has passed is marked, what is new waits. */
export function AdviceList({ advice }: { advice: readonly Advice[] }) {
  const { t, text } = useI18n();
  const seen = new Map<string, number>();
  const items = advice.map((one) => {
    const number = seen.get(one.code) ?? 0;
    seen.set(one.code, number + 1);
    return { ...one, id: `${one.code}/${number}` };
  });
  const steady = useSteady({ items, settled: true, pages: 1 }, "advice");
  const changed = steady.fresh + steady.gone.size;
  const shown = new Set(steady.rows.map((one) => one.id));
  const alarm = items.some((one) => one.weight === "alarm" && !shown.has(one.id));
  return (
    <section className="panel" aria-labelledby="advice">
      <div className="panelhead">
        <h2 id="advice">{t("plane.advice")}</h2>
        <span className="spring" />
        {changed ? (
          <button type="button" className={alarm ? "fresh alarm" : "fresh"} data-fresh onClick={steady.show}>
            <Icon name="up" />
            {t(alarm ? "plane.changed_alarm" : "plane.changed", { count: changed })}
            <kbd>n</kbd>
          </button>
        ) : null}
      </div>
      {steady.rows.length ? (
        <ul className="rows" data-list="advice">
          {steady.rows.map((one) => (
            <li key={one.id} className={`advice-row${steady.gone.has(one.id) ? " gone" : ""}`} data-code={one.code}>
              {steady.gone.has(one.id) ? (
                <Mark icon="check" tone="good">
                  {t("plane.passed")}
                </Mark>
              ) : (
                <WordMark list="weight" value={one.weight} />
              )}
              <p>{text(one.text)}</p>
            </li>
          ))}
        </ul>
      ) : (
        <p className="advice-row" data-code="">
          <Mark icon="check" tone="good">
            {t("plane.well")}
          </Mark>
          <span>{t("plane.well_means")}</span>
        </p>
      )}
    </section>
  );
}
