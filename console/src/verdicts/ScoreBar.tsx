import { figure } from "../format/format";
import { useI18n } from "../i18n/I18n";

/** The calibrated probability of harm, as number and bar. */
export function ScoreBar({ score }: { score: number | null }) {
  const { t, language } = useI18n();
  if (score === null) return <span className="score quiet">{t("verdict.unscored")}</span>;
  return (
    <span className="score">
      <span className="num">{figure(Math.round(score * 1000) / 1000, language)}</span>
      <i aria-hidden="true">
        <b style={{ width: `${Math.round(Math.min(1, score) * 100)}%` }} />
      </i>
    </span>
  );
}
