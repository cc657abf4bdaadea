import { Drawer } from "antd";

import type { Reason, Verdict } from "../api/types";
import { figure } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { WordMark } from "../parts/Mark";
import { Money } from "../parts/Money";
import { Subject } from "../parts/Subject";
import { Clock } from "../parts/Time";
import { ScoreBar } from "./ScoreBar";

/** Why one event got its answer: reasons, what each feature brought, and the features as they were served. */
export default function Why({ verdict, close }: { verdict: Verdict | null; close: () => void }) {
  const { t } = useI18n();
  return (
    <Drawer open onClose={close} title={t("why.title")} size={520} rootClassName="drawer">
      {verdict ? <Body verdict={verdict} /> : <p className="quiet">{t("why.missing")}</p>}
    </Drawer>
  );
}

function Body({ verdict }: { verdict: Verdict }) {
  const { t, word } = useI18n();
  const reasons = verdict.reasons;
  const features = Object.entries(verdict.features);
  return (
    // Focusable, so that the keyboard can scroll what holds no other control.
    <div className="why" tabIndex={0} role="group" aria-label={t("why.title")}>
      <div className="why-answer">
        <div>
          <h3>{t("why.served")}</h3>
          <WordMark list="decision" value={verdict.served} />
        </div>
        <div>
          <h3>{t("why.computed")}</h3>
          <WordMark list="decision" value={verdict.computed} />
        </div>
        <div>
          <h3>{t("verdict.score")}</h3>
          <ScoreBar score={verdict.score} />
        </div>
      </div>
      {verdict.served === verdict.computed ? null : (
        <p className="why-differs">
          {verdict.late ? t("why.late") : verdict.degraded ? t("why.degraded", { why: verdict.degraded }) : t("why.shadow")}
        </p>
      )}
      <dl className="numbers">
        <Fact label={t("verdict.event")}>{word("type", verdict.event_type)}</Fact>
        <Fact label={t("incident.subject")}>
          <Subject subject={verdict.subject} />
        </Fact>
        <Fact label={t("verdict.time")}>
          <Clock time={verdict.time} />
        </Fact>
        {typeof verdict.amount === "number" ? (
          <Fact label={t("verdict.amount")}>
            <Money minor={verdict.amount} currency={verdict.currency} />
          </Fact>
        ) : null}
        {verdict.expires ? (
          <Fact label={t("why.expires")}>
            <Clock time={verdict.expires} />
          </Fact>
        ) : null}
        {verdict.outcome ? <Fact label={t("why.outcome")}>{word("ending", verdict.outcome)}</Fact> : null}
        {verdict.model ? (
          <Fact label={t("why.model")}>
            <span className="mono">{verdict.model}</span>
          </Fact>
        ) : null}
        <Fact label={t("why.event_id")}>
          <span className="mono">{verdict.event_id}</span>
        </Fact>
      </dl>
      <h3>{t("why.reasons")}</h3>
      {reasons.length ? <Contributions reasons={reasons} /> : <p className="quiet">{t("why.no_reasons")}</p>}
      {features.length ? (
        <>
          <h3>{t("why.features", { count: features.length })}</h3>
          <Features features={features} />
        </>
      ) : null}
    </div>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Contributions({ reasons }: { reasons: Reason[] }) {
  const { t, text, language } = useI18n();
  const widest = Math.max(...reasons.map((reason) => Math.abs(reason.contribution ?? 0))) || 1;
  return (
    <ul className="contributions">
      {reasons.map((reason, index) => {
        const part = reason.contribution;
        return (
          <li key={index}>
            <p>
              {text(reason.text)} <code className="quiet">{reason.rule || reason.code}</code>
            </p>
            {typeof part === "number" ? (
              <p className="bar">
                <span className="mono">
                  {reason.feature}
                  {reason.value === null || reason.value === undefined
                    ? ""
                    : ` = ${typeof reason.value === "number" ? figure(reason.value, language) : reason.value}`}
                </span>
                <i className={part < 0 ? "less" : "more-risk"} aria-hidden="true">
                  <b style={{ width: `${(Math.abs(part) / widest) * 100}%` }} />
                </i>
                <span className="num" title={t("why.log_odds")}>
                  {part > 0 ? "+" : ""}
                  {figure(Math.round(part * 1000) / 1000, language)}
                </span>
              </p>
            ) : null}
          </li>
        );
      })}
    </ul>
  );
}

function Features({ features }: { features: [string, number | null][] }) {
  const { t, language } = useI18n();
  return (
    <dl className="numbers">
      {features.map(([name, value]) => (
        <div key={name}>
          <dt className="mono">{name}</dt>
          <dd className="num">{value === null ? <span className="quiet">{t("why.missing_value")}</span> : figure(value, language)}</dd>
        </div>
      ))}
    </dl>
  );
}
