import { Select } from "antd";

import { useIncidents, useOverview } from "../api/queries";
import { readOf, useSteady } from "../hooks/useSteady";
import { useQueryState } from "../hooks/useQueryState";
import { useI18n } from "../i18n/I18n";
import { IncidentHead, IncidentRow } from "../incidents/IncidentRow";
import { useWaitingByIncident } from "../incidents/waiting";
import { Choice } from "../parts/Choice";
import { Search } from "../parts/Search";
import { Empty, Fresh, More, QueryState } from "../parts/States";
import { PageHead } from "../shell/PageHead";

const ACTIVE = "open,mitigating,monitoring";
const PHASES = ["open", "mitigating", "monitoring", "resolved", "dismissed"];
const SEVERITIES = ["P1", "P2", "P3", "P4"];

export default function Incidents() {
  const { t, word } = useI18n();
  const [phase, setPhase] = useQueryState("phase", ACTIVE);
  const [severity, setSeverity] = useQueryState("severity");
  const [search, setSearch] = useQueryState("q");
  const open = useOverview().data?.open_incidents;
  const query = useIncidents({ phase: phase === "all" ? "" : phase, severity, q: search });
  const steady = useSteady(readOf(query), `${phase}|${severity}|${search}`);
  const waiting = useWaitingByIncident();
  return (
    <>
      <PageHead title={t("nav.incidents")}>
        <Search value={search} change={setSearch} hint={t("incidents.search")} />
      </PageHead>
      <div className="filters">
        <Choice
          label={t("incident.severity")}
          value={severity}
          change={setSeverity}
          options={[
            { value: "", label: t("filter.all") },
            ...SEVERITIES.map((level) => ({ value: level, label: level, count: open?.[level] })),
          ]}
        />
        <Select
          aria-label={t("incident.phase")}
          value={phase}
          onChange={setPhase}
          popupMatchSelectWidth={false}
          options={[
            { value: ACTIVE, label: t("filter.active") },
            { value: "all", label: t("filter.all_phases") },
            ...PHASES.map((value) => ({ value, label: word("phase", value) })),
          ]}
        />
        <span className="spring" />
        <Fresh count={steady.fresh} show={steady.show} />
      </div>
      <section className="panel" aria-label={t("nav.incidents")}>
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
          <Empty icon="check">{search || severity || phase !== ACTIVE ? t("incidents.none_match") : t("incidents.none")}</Empty>
        ) : null}
        <More query={query} />
      </section>
    </>
  );
}
