import type { PlaneView } from "../api/types";
import { bytes, count, figure, percent, short } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Sparkline } from "../parts/Sparkline";
import { useTrail } from "./useTrail";

/** Events a second and lag with their last minutes, what waits, and how long callers and the disk take. */
export function Figures({ view, at }: { view: PlaneView; at: number }) {
  const { t, language } = useI18n();
  const { flow, queue, stages } = view;
  const trails = useTrail(at, { rate: flow.accepted_per_s, lag: flow.lag_s });
  const stage = (name: string) => stages.find((one) => one.name === name);
  const verdict = stage("verdict");
  const sync = stage("sync");
  const refused = Object.values(flow.refused).reduce((sum, number) => sum + number, 0);
  return (
    <section className="figures even" aria-label={t("plane.figures")}>
      <div className="figure">
        <h2>{t("overview.events")}</h2>
        <p className="big num" data-figure="accepted_per_s">
          {figure(flow.accepted_per_s, language)}
        </p>
        <Sparkline points={trails.rate} />
      </div>
      <div className="figure">
        <h2>{t("plane.lag")}</h2>
        <p className="big num" data-figure="lag">
          {flow.tau ? short(flow.lag_s, language) : "–"}
        </p>
        <Sparkline points={trails.lag} />
      </div>
      <div className="figure">
        <h2>{t("plane.waiting")}</h2>
        <p className="big num">{count(queue.events + (queue.rows ?? 0), language)}</p>
        <p className="quiet">
          {t("plane.waiting_more", { waited: short(queue.waited_s, language), unwritten: bytes(queue.unwritten_bytes, language) })}
        </p>
      </div>
      <div className="figure">
        <h2>{t("plane.verdict_p99")}</h2>
        <p className="big num">{verdict?.p99_ms ? short(verdict.p99_ms / 1000, language) : "–"}</p>
        <p className="quiet">{t("plane.verdict_more", { late: percent(flow.verdicts_late_share, language), limit: flow.deadline_ms })}</p>
      </div>
      <div className="figure">
        <h2>{t("plane.disk_p99")}</h2>
        <p className="big num">{sync?.p99_ms ? short(sync.p99_ms / 1000, language) : "–"}</p>
        <p className="quiet">
          {t("plane.refused_more", {
            duplicates: count(flow.duplicates, language),
            refused: count(refused, language),
            shed: count(queue.shed, language),
          })}
        </p>
      </div>
    </section>
  );
}
