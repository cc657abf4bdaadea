import { useQueryClient } from "@tanstack/react-query";
import { Button } from "antd";

import { send } from "../api/client";
import { useAutomation } from "../api/queries";
import type { AutomationView } from "../api/types";
import { Playbooks } from "../automation/Playbooks";
import { useKillSwitch } from "../automation/useKillSwitch";
import { Verbs } from "../automation/Verbs";
import { useI18n } from "../i18n/I18n";
import { Choice } from "../parts/Choice";
import { useConfirm } from "../parts/Confirm";
import { Icon } from "../parts/Icon";
import { useNotices } from "../parts/Notices";
import { QueryState } from "../parts/States";
import { PageHead } from "../shell/PageHead";

export default function Automation() {
  const { t } = useI18n();
  const query = useAutomation();
  const view = query.data;
  return (
    <>
      <PageHead title={t("nav.automation")}>
        <p className="quiet">{t("automation.lead")}</p>
      </PageHead>
      <QueryState query={query} />
      {view ? (
        <div className="stack">
          <div className="switches">
            <Kill view={view} />
            <VerdictMode view={view} />
          </div>
          <Playbooks view={view} />
          <Verbs view={view} />
          {view.protected.length ? (
            <section className="panel" aria-labelledby="protected">
              <div className="panelhead">
                <h2 id="protected">{t("automation.protected")}</h2>
              </div>
              <p className="chips pad">
                {view.protected.map((subject) => (
                  <span key={subject} className="chip mono">
                    {subject}
                  </span>
                ))}
              </p>
            </section>
          ) : null}
        </div>
      ) : null}
    </>
  );
}

function Kill({ view }: { view: AutomationView }) {
  const { t } = useI18n();
  const kill = useKillSwitch();
  return (
    <section className={`panel switch${view.kill ? " stopped" : ""}`} aria-labelledby="kill">
      <div>
        <h2 id="kill">{t("kill.title")}</h2>
        <p className="switch-state" data-kill={view.kill}>
          <Icon name={view.kill ? "stop" : "check"} />
          {view.kill ? t("kill.state_on") : t("kill.state_off")}
        </p>
        {view.kill && view.kill_reason ? <p className="quiet">{view.kill_reason}</p> : null}
      </div>
      <Button danger={!view.kill} type={view.kill ? "default" : "primary"} data-act="kill" onClick={() => kill(!view.kill)}>
        <Icon name={view.kill ? "check" : "stop"} /> {view.kill ? t("kill.release") : t("kill.pull")}
      </Button>
    </section>
  );
}

function VerdictMode({ view }: { view: AutomationView }) {
  const { t, word } = useI18n();
  const ask = useConfirm();
  const { say } = useNotices();
  const queries = useQueryClient();
  const choose = (mode: string) => {
    if (mode === view.verdict_mode) return;
    ask({
      title: t(mode === "live" ? "mode.confirm_live" : "mode.confirm_shadow"),
      lines: [
        { label: t("mode.now"), value: word("mode", view.verdict_mode) },
        { label: t("confirm.means"), value: t(mode === "live" ? "mode.means_live" : "mode.means_shadow") },
      ],
      ok: t("mode.set", { mode: word("mode", mode) }),
      danger: mode === "live",
      run: async () => {
        await send("PUT", "/v1/automation/verdicts", { mode });
        say(t("saved"));
        await queries.invalidateQueries();
      },
    });
  };
  return (
    <section className="panel switch" aria-labelledby="mode">
      <div>
        <h2 id="mode">{t("mode.title")}</h2>
        <p className="quiet">{t(view.verdict_mode === "live" ? "mode.means_live" : "mode.means_shadow")}</p>
      </div>
      <Choice
        label={t("mode.title")}
        value={view.verdict_mode}
        change={choose}
        options={["shadow", "live"].map((value) => ({ value, label: word("mode", value) }))}
      />
    </section>
  );
}
