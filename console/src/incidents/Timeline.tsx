import { VerbPhrase } from "../actions/VerbPhrase";
import type { Action, IncidentView, Moment } from "../api/types";
import { percent } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Icon, type IconName } from "../parts/Icon";
import { WordMark } from "../parts/Mark";
import { Subject } from "../parts/Subject";
import { Clock } from "../parts/Time";

const ICONS: Record<string, IconName> = {
  signal: "pulse",
  phase: "wrench",
  ruling: "verdict",
  action: "automation",
  outcome: "check",
  label: "tag",
  note: "edit",
};

function word(detail: Moment["detail"], name: string): string {
  const value = detail?.[name];
  return typeof value === "string" ? value : "";
}

/** What happened, newest first. */
export function Timeline({ view }: { view: IncidentView }) {
  const { t } = useI18n();
  const moments = (view.incident.timeline).map((moment, index) => ({ moment, index })).toReversed();
  if (!moments.length) return null;
  return (
    <section className="panel" aria-labelledby="timeline">
      <div className="panelhead">
        <h2 id="timeline">{t("incident.timeline")}</h2>
      </div>
      <ol className="timeline">
        {moments.map(({ moment, index }) => (
          <li key={index} className={`moment ${moment.what}`}>
            <Clock time={moment.time} />
            <Icon name={ICONS[moment.what] ?? "clock"} />
            <div>
              <Line moment={moment} action={view.actions.find((action) => action.id === moment.ref)} />
              {moment.what !== "signal" && !["", "tocsin", "guard"].includes(moment.who) ? <span className="who">{moment.who}</span> : null}
              {word(moment.detail, "note") ? <p className="note">{word(moment.detail, "note")}</p> : null}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Line({ moment, action }: { moment: Moment; action: Action | undefined }) {
  const i18n = useI18n();
  const { t, language } = i18n;
  const { detail } = moment;
  const verb = word(detail, "verb");
  const phrase = verb ? <VerbPhrase action={action ?? { verb, target: word(detail, "target") }} /> : null;
  if (moment.what === "phase") {
    return (
      <>
        {t("moment.phase")} <WordMark list="phase" value={word(detail, "to")} />
      </>
    );
  }
  if (moment.what === "signal") {
    const score = detail?.["score"];
    return (
      <>
        {t("moment.signal")} <Subject subject={word(detail, "subject")} />
        {typeof score === "number" ? <span className="quiet num"> {percent(score, language)}</span> : null}
      </>
    );
  }
  if (moment.what === "ruling") {
    return (
      <>
        {i18n.word("answer", word(detail, "answer"))}: {phrase}
      </>
    );
  }
  if (moment.what === "outcome") {
    const effect = word(detail, "effect");
    return (
      <>
        {phrase} <WordMark list="state" value={word(detail, "what")} />
        {effect ? <WordMark list="effect" value={effect} /> : null}
      </>
    );
  }
  if (moment.what === "label") {
    return (
      <>
        {t("moment.label")} <WordMark list="label" value={word(detail, "label")} />
      </>
    );
  }
  return (
    <>
      {i18n.word("moment", moment.what)} {phrase}
    </>
  );
}
