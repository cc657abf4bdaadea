import { usePlane } from "../api/queries";
import { duration } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { QueryState } from "../parts/States";
import { AdviceList } from "../plane/AdviceList";
import { Figures } from "../plane/Figures";
import { Keeping } from "../plane/Keeping";
import { Memory } from "../plane/Memory";
import { Reach } from "../plane/Reach";
import { RuleCosts } from "../plane/RuleCosts";
import { Scanner } from "../plane/Scanner";
import { Stages } from "../plane/Stages";
import { PageHead } from "../shell/PageHead";

/** The data plane while it runs: what is slow and what to do, then every stage with its numbers. */
export default function DataPlane() {
  const { t, language } = useI18n();
  const query = usePlane();
  const view = query.data;
  return (
    <>
      <PageHead title={t("nav.plane")}>
        <p className="quiet">
          {view ? t("plane.lead", { span: duration(Math.max(1, view.over_s) * 1_000_000, language) }) : null}
        </p>
      </PageHead>
      <QueryState query={query} />
      {view ? (
        <div className="stack">
          <AdviceList advice={view.advice} />
          <Figures view={view} at={query.dataUpdatedAt} />
          <Stages stages={view.stages} />
          <div className="plane-grid">
            <Reach view={view} />
            <Keeping view={view} />
            <div className="stack">
              <Memory parts={view.memory} />
              {view.scanner ? <Scanner scanner={view.scanner} /> : null}
            </div>
          </div>
          <RuleCosts rules={view.rules} />
        </div>
      ) : null}
    </>
  );
}
