import { Button } from "antd";
import { Suspense } from "react";
import { Link, useParams } from "react-router";

import { ActionRow } from "../actions/ActionRow";
import { useActs } from "../actions/useActs";
import { useIncident } from "../api/queries";
import type { IncidentView } from "../api/types";
import { duration } from "../format/format";
import { useNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Entities } from "../incidents/Entities";
import { IncidentActs } from "../incidents/IncidentActs";
import { Reasons } from "../incidents/Reasons";
import { Timeline } from "../incidents/Timeline";
import { Boundary } from "../parts/Boundary";
import { Icon } from "../parts/Icon";
import { Severity, WordMark } from "../parts/Mark";
import { Money } from "../parts/Money";
import { part } from "../parts/part";
import { QueryState } from "../parts/States";
import { Subject } from "../parts/Subject";
import { Clock } from "../parts/Time";
import { PageHead } from "../shell/PageHead";

const EvidenceChart = part(() => import("../charts/EvidenceChart"));

export default function IncidentPage() {
  const { id = "" } = useParams();
  const { t, text } = useI18n();
  const query = useIncident(id);
  const view = query.data;
  return (
    <>
      <p className="crumb">
        <Link to="/incidents" className="link">
          {t("nav.incidents")}
        </Link>
        <span className="quiet mono">{id}</span>
      </p>
      <QueryState query={query} />
      {view ? (
        <>
          <PageHead title={text(view.incident.title)}>
            <IncidentActs incident={view.incident} />
          </PageHead>
          <Facts view={view} />
          <div className="incident-grid">
            <div className="stack">
              <Actions view={view} />
              <Evidence view={view} />
              <Timeline view={view} />
            </div>
            <div className="stack">
              <Reasons signals={view.signals} />
              <Entities incident={view.incident} />
            </div>
          </div>
        </>
      ) : null}
    </>
  );
}

function Facts({ view }: { view: IncidentView }) {
  const { t, word, language } = useI18n();
  const now = useNow();
  const { incident } = view;
  const currency = incident.currency;
  return (
    <dl className="incident-facts" data-incident={incident.id}>
      <div>
        <dt>{t("incident.severity")}</dt>
        <dd>
          <Severity level={incident.severity} /> {word("severity", incident.severity)}
        </dd>
      </div>
      <div>
        <dt>{t("incident.phase")}</dt>
        <dd className="marks">
          <WordMark list="phase" value={incident.phase} />
          {incident.label ? <WordMark list="label" value={incident.label} /> : null}
        </dd>
      </div>
      <div>
        <dt>{t("incident.subject")}</dt>
        <dd>
          <Subject subject={incident.subject} />
        </dd>
      </div>
      <div>
        <dt>{t("incident.loss_per_minute")}</dt>
        <dd className="strong">
          <Money minor={incident.loss_per_minute} currency={currency} />
        </dd>
      </div>
      <div>
        <dt>{t("incident.loss")}</dt>
        <dd className="strong">
          <Money minor={incident.loss} currency={currency} />
        </dd>
      </div>
      <div>
        <dt>{incident.closed ? t("incident.lasted") : t("incident.lasts")}</dt>
        <dd>
          <span className="strong num">{duration((incident.closed || now) - incident.onset, language)}</span>{" "}
          <span className="quiet">
            {t("incident.since")} <Clock time={incident.onset} />
          </span>
        </dd>
      </div>
    </dl>
  );
}

function Actions({ view }: { view: IncidentView }) {
  const { t } = useI18n();
  const acts = useActs();
  const { incident, actions } = view;
  const waiting = actions.filter((action) => action.state === "asked" || action.state === "suggested");
  // By when they were wished, never by state: an approved row stays under the cursor.
  const ordered = actions.toSorted((one, other) => one.created - other.created || one.step - other.step || one.target.localeCompare(other.target));
  return (
    <section className="panel" aria-labelledby="actions">
      <div className="panelhead">
        <h2 id="actions">{t("incident.actions")}</h2>
        <span className="spring" />
        {waiting.length > 1 ? (
          <Button type="primary" size="small" onClick={() => acts("approve", waiting, incident)}>
            <Icon name="check" /> {t("act.approve_all", { count: waiting.length })}
          </Button>
        ) : null}
      </div>
      {ordered.length ? (
        <ul className="rows" data-list="actions">
          {ordered.map((action) => (
            <ActionRow
              key={action.id}
              action={action}
              incident={incident}
              ruling={view.rulings.filter((ruling) => ruling.action === action.id).toSorted((one, other) => other.time - one.time)[0]}
            />
          ))}
        </ul>
      ) : (
        <p className="quiet pad">{t("incident.no_actions")}</p>
      )}
    </section>
  );
}

function Evidence({ view }: { view: IncidentView }) {
  const { word } = useI18n();
  const { series } = view;
  if (!series || series.points.length === 0) return null;
  return (
    <section className="panel" aria-labelledby="evidence">
      <div className="panelhead">
        <h2 id="evidence">{[word("series", series.name), series.key].filter(Boolean).join(" · ")}</h2>
      </div>
      <Boundary>
        <Suspense fallback={<div style={{ height: 220 }} />}>
          <EvidenceChart series={series} incident={view.incident} actions={view.actions} />
        </Suspense>
      </Boundary>
    </section>
  );
}
