import { Button } from "antd";
import { Link } from "react-router";

import { useActs } from "../actions/useActs";
import { VerbPhrase } from "../actions/VerbPhrase";
import type { Action, Incident } from "../api/types";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { Severity, WordMark } from "../parts/Mark";
import { Money } from "../parts/Money";
import { Subject } from "../parts/Subject";
import { Ago } from "../parts/Time";

/** One incident on one line (three on a phone), with the act that it waits for on the row itself. */
export function IncidentRow({ incident, waiting, gone }: { incident: Incident; waiting: Action[]; gone?: boolean }) {
  const { t, text } = useI18n();
  const acts = useActs();
  const [first] = waiting;
  return (
    <li className={`incident-row${gone ? " gone" : ""}`} data-rowbox data-id={incident.id}>
      <Severity level={incident.severity} />
      <div className="incident-what">
        <Link to={`/incidents/${incident.id}`} data-row className="incident-title">
          {text(incident.title)}
        </Link>
        <span className="incident-subject">
          <Subject subject={incident.subject} />
          {first ? (
            <span className="wish">
              <Icon name="hand" />
              <VerbPhrase action={first} />
              {waiting.length > 1 ? <span> {t("incident.and_more", { count: waiting.length - 1 })}</span> : null}
            </span>
          ) : null}
        </span>
      </div>
      <div className="incident-phase">
        <WordMark list="phase" value={incident.phase} />
        {incident.label ? <WordMark list="label" value={incident.label} /> : null}
      </div>
      <div className="cell right" data-label={t("incident.loss_per_minute")}>
        <Money minor={incident.loss_per_minute} currency={incident.currency} />
      </div>
      <div className="cell right" data-label={t("incident.loss")}>
        <Money minor={incident.loss} currency={incident.currency} />
      </div>
      <div className="cell right" data-label={t("incident.onset")}>
        <Ago time={incident.onset} />
      </div>
      <div className="incident-acts">
        {first ? (
          <Button type="primary" size="small" data-act="approve" onClick={() => acts("approve", waiting, incident)}>
            <Icon name="check" /> {waiting.length > 1 ? t("act.approve_all", { count: waiting.length }) : t("act.approve")}
          </Button>
        ) : null}
      </div>
    </li>
  );
}

export function IncidentHead() {
  const { t } = useI18n();
  return (
    <div className="incident-row head" aria-hidden="true">
      <span>{t("incident.severity")}</span>
      <span>{t("incident.what")}</span>
      <span>{t("incident.phase")}</span>
      <span className="right">{t("incident.loss_per_minute")}</span>
      <span className="right">{t("incident.loss")}</span>
      <span className="right">{t("incident.onset")}</span>
      <span />
    </div>
  );
}
