import type { Signal } from "../api/types";
import { clock, figure, percent } from "../format/format";
import { useNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Subject } from "../parts/Subject";

const SHOWN = 6;

/** Why: what each desk saw, with its numbers; the strongest and newest signals first. */
export function Reasons({ signals }: { signals: Signal[] }) {
  const { t, text, word, language } = useI18n();
  const now = useNow();
  if (!signals.length) return null;
  const ordered = signals.toSorted((one, other) => other.score - one.score || other.tau - one.tau);
  return (
    <section className="panel" aria-labelledby="reasons">
      <div className="panelhead">
        <h2 id="reasons">{t("incident.reasons")}</h2>
        <span className="quiet num">{t("incident.signals", { count: signals.length })}</span>
      </div>
      <ul className="reasons">
        {ordered.slice(0, SHOWN).map((signal) => (
          <li key={signal.id}>
            <p className="reason-head">
              <b>{word("desk", signal.desk)}</b>
              <Subject subject={signal.subject} />
              <span className="spring" />
              <span className="quiet num">
                {t("incident.score", { score: percent(signal.score, language) })} · {clock(signal.tau, now)}
              </span>
            </p>
            {signal.reasons.map((reason, index) => (
              <p key={index}>
                {text(reason.text)} <code className="quiet">{reason.code}</code>
                {typeof reason.value === "number" ? <span className="quiet num"> {figure(reason.value, language)}</span> : null}
              </p>
            ))}
          </li>
        ))}
      </ul>
      {signals.length > SHOWN ? <p className="quiet pad">{t("incident.more_signals", { count: signals.length - SHOWN })}</p> : null}
    </section>
  );
}
