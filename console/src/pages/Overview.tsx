import { Button } from "antd";
import { Suspense } from "react";
import { Link } from "react-router";

import { useIncidents, useOverview, useSeries } from "../api/queries";
import type { Overview as Data } from "../api/types";
import { useKillSwitch } from "../automation/useKillSwitch";
import { count, figure, money, percent } from "../format/format";
import { readOf, useSteady } from "../hooks/useSteady";
import { useI18n } from "../i18n/I18n";
import { IncidentHead, IncidentRow } from "../incidents/IncidentRow";
import { useWaitingByIncident } from "../incidents/waiting";
import { Boundary } from "../parts/Boundary";
import { Icon } from "../parts/Icon";
import { Severity, WordMark } from "../parts/Mark";
import { part } from "../parts/part";
import { Sparkline } from "../parts/Sparkline";
import { Empty, Fresh, QueryState } from "../parts/States";
import { PageHead } from "../shell/PageHead";

const RateChart = part(() => import("../charts/RateChart"));

const ACTIVE = "open,mitigating,monitoring";
const SEVERITIES = ["P1", "P2", "P3", "P4"];
const DECISIONS = ["allow", "challenge", "hold", "deny"] as const;

/** Business first, then what threatens it. */
const SERIES = ["health.orders", "health.payment-failures-all", "attack.served", "fraud.declines"];

export function Overview() {
  const { t } = useI18n();
  const query = useOverview();
  const overview = query.data;
  return (
    <>
      <PageHead title={t("nav.overview")} />
      <QueryState query={query} />
      {overview ? <Figures overview={overview} /> : null}
      <div className="overview-grid">
        <Latest />
        {overview ? <Rates currency={overview.currency} /> : null}
      </div>
    </>
  );
}

function Figures({ overview }: { overview: Data }) {
  const { t, word, language } = useI18n();
  const kill = useKillSwitch();
  const events = overview.rates["events_per_s"] ?? 0;
  const line = (name: string) => overview.series.find((series) => series.name === name)?.points.slice(-60) ?? [];
  const total = DECISIONS.reduce((sum, decision) => sum + (overview.verdicts[decision] ?? 0), 0);
  return (
    <section className="figures" aria-label={t("overview.figures")}>
      <div className="figure">
        <h2>{t("overview.events")}</h2>
        <p className="big num" data-figure="events_per_s">
          {figure(events, language)}
        </p>
        <p className="quiet">
          {t("overview.lag", { lag: figure(Math.round(overview.lag_s * 10) / 10, language), queue: count(overview.queue, language) })}
        </p>
      </div>
      <div className="figure">
        <h2>{t("overview.money")}</h2>
        <p className="big num" data-figure="money_per_minute" title={money(overview.money_per_minute, overview.currency, language, true)}>
          {money(overview.money_per_minute, overview.currency, language)}
        </p>
        <Sparkline points={line("money_per_minute")} />
      </div>
      <div className="figure">
        <h2>{t("overview.open")}</h2>
        <p className="big num" data-figure="open_incidents">
          <Link to="/incidents">{count(overview.open_incidents["total"] ?? 0, language)}</Link>
          {overview.waiting_actions ? (
            <small className="wish">
              <Icon name="hand" />
              {t("overview.waiting", { count: overview.waiting_actions })}
            </small>
          ) : null}
        </p>
        <p className="levels">
          {SEVERITIES.map((level) => (
            <Link key={level} to={`/incidents?severity=${level}`} className={overview.open_incidents[level] ? "" : "zero"}>
              <Severity level={level} />
              <span className="num">{overview.open_incidents[level] ?? 0}</span>
            </Link>
          ))}
        </p>
      </div>
      <div className="figure">
        <h2>{t("overview.verdicts")}</h2>
        <p className="big num" data-figure="verdicts">
          {count(total, language)}
        </p>
        <p className="split">
          {DECISIONS.map((decision) => {
            const number = overview.verdicts[decision] ?? 0;
            return (
              <Link key={decision} to={`/verdicts?of=served&decision=${decision}`} title={percent(total ? number / total : 0, language)}>
                {word("decision", decision)} <b className="num">{count(number, language)}</b>
              </Link>
            );
          })}
        </p>
      </div>
      <div className={`figure${overview.automation.kill ? " stopped" : ""}`}>
        <h2>{t("overview.automation")}</h2>
        <p className="big word">
          {overview.automation.kill ? t("kill.is_on") : word("automation", overview.automation.ceiling)}
          <Button
            size="small"
            danger={!overview.automation.kill}
            data-act="kill"
            onClick={() => kill(!overview.automation.kill)}
          >
            <Icon name={overview.automation.kill ? "check" : "stop"} />
            {overview.automation.kill ? t("kill.release") : t("kill.pull")}
          </Button>
        </p>
        <p className="automation-line">
          {t("overview.verdict_mode")} <WordMark list="mode" value={overview.automation.verdict_mode} />
        </p>
      </div>
    </section>
  );
}

function Latest() {
  const { t } = useI18n();
  const query = useIncidents({ phase: ACTIVE }, 12);
  const steady = useSteady(readOf(query), "latest");
  const waiting = useWaitingByIncident();
  return (
    <section className="panel" aria-labelledby="latest">
      <div className="panelhead">
        <h2 id="latest">{t("overview.latest")}</h2>
        <span className="spring" />
        <Fresh count={steady.fresh} show={steady.show} />
        <Link className="link" to="/incidents">
          {t("overview.all")}
        </Link>
      </div>
      <QueryState query={query} />
      {steady.rows.length ? (
        <>
          <IncidentHead />
          <ul className="rows" data-list="incidents">
            {steady.rows.map((incident) => (
              <IncidentRow
                key={incident.id}
                incident={incident}
                waiting={waiting.get(incident.id) ?? []}
                gone={steady.gone.has(incident.id)}
              />
            ))}
          </ul>
        </>
      ) : query.data ? (
        <Empty icon="check">{t("incidents.none")}</Empty>
      ) : null}
    </section>
  );
}

function Rates({ currency }: { currency: string }) {
  const { t } = useI18n();
  return (
    <section className="charts" aria-label={t("overview.series")}>
      {SERIES.map((name) => (
        <Rate key={name} name={name} currency={currency} />
      ))}
    </section>
  );
}

function Rate({ name, currency }: { name: string; currency: string }) {
  const { t, word } = useI18n();
  const series = useSeries(name).data;
  const title = word("series", name);
  return (
    <figure className="panel">
      <figcaption>
        <h2>{title}</h2>
      </figcaption>
      <Boundary>
        <Suspense fallback={<div style={{ height: 120 }} />}>
          {series && series.points.length > 1 ? (
            <RateChart series={series} title={title} currency={currency} />
          ) : (
            <p className="chart-wait">{t("overview.no_series")}</p>
          )}
        </Suspense>
      </Boundary>
    </figure>
  );
}
