import type { StageView } from "../api/types";
import { count, figure, percent, short } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Share } from "./Share";

/** Every stage in the order in which an event passes through: how busy its thread is with it, and what a run takes. */
export function Stages({ stages }: { stages: readonly StageView[] }) {
  const { t, text, word, language } = useI18n();
  const quiet = (stage: StageView, value: string) => (stage.p50_ms ? value : "–");
  return (
    <section className="panel" aria-labelledby="stages">
      <div className="panelhead">
        <h2 id="stages">{t("plane.stages")}</h2>
        <span className="quiet">{t("plane.stages_lead")}</span>
      </div>
      <div className="stage-row head" aria-hidden="true">
        <span>{t("plane.stage")}</span>
        <span>{t("plane.busy")}</span>
        <span className="right">{t("plane.rows_per_s")}</span>
        <span className="right">{t("plane.per_row")}</span>
        <span className="right">{t("plane.batch")}</span>
        <span className="right">{t("plane.p50")}</span>
        <span className="right">{t("plane.p99")}</span>
        <span className="right">{t("plane.longest")}</span>
      </div>
      <ul className="rows" data-list="stages">
        {stages.map((stage) => (
          <li key={stage.name} className="stage-row" data-rowbox data-id={stage.name}>
            <div className="stage-what" data-row tabIndex={0}>
              <b>{word("stage", stage.name)}</b> <code>{stage.name}</code>
              <p className="quiet">{text(stage.text)}</p>
            </div>
            <div className="stage-busy">
              {stage.thread === "caller" ? (
                <p className="quiet">{word("thread", stage.thread)}</p>
              ) : (
                <Share share={stage.share} label={`${percent(Math.min(1, stage.share), language)} · ${word("thread", stage.thread)}`} />
              )}
            </div>
            <span className="cell num right" data-label={t("plane.rows_per_s")}>
              {figure(stage.rows_per_s, language)}
            </span>
            <span className="cell num right" data-label={t("plane.per_row")}>
              {quiet(stage, short(stage.us_per_row / 1e6, language))}
            </span>
            <span className="cell num right" data-label={t("plane.batch")}>
              {quiet(stage, count(Math.round(stage.rows_per_run), language))}
            </span>
            <span className="cell num right" data-label={t("plane.p50")}>
              {quiet(stage, short(stage.p50_ms / 1000, language))}
            </span>
            <span className="cell num right" data-label={t("plane.p99")}>
              {quiet(stage, short(stage.p99_ms / 1000, language))}
            </span>
            <span className="cell num right" data-label={t("plane.longest")}>
              {stage.runs ? short(stage.longest_ms / 1000, language) : "–"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
