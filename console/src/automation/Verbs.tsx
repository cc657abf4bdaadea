import { useQueryClient } from "@tanstack/react-query";
import { Button, Drawer } from "antd";
import { useState } from "react";

import { send } from "../api/client";
import type { AutomationView, VerbView } from "../api/types";
import { count, duration } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { useNotices, useProblemText } from "../parts/Notices";

/** Every verb with what it has used of its budget: across all desks and playbooks, in business units. */
export function Verbs({ view }: { view: AutomationView }) {
  const { t, text, word, language } = useI18n();
  const [edited, setEdited] = useState<VerbView | null>(null);
  return (
    <section className="panel" aria-labelledby="verbs">
      <div className="panelhead">
        <h2 id="verbs">{t("automation.verbs")}</h2>
        <span className="quiet">{t("automation.verbs_lead")}</span>
      </div>
      <ul className="rows">
        {view.verbs.map((verb) => {
          const share = verb.limit ? Math.min(1, verb.spent / verb.limit) : verb.spent ? 1 : 0;
          return (
            <li key={verb.name} className="verb-row" data-rowbox data-id={verb.name}>
              <div data-row tabIndex={0}>
                <b>{text(verb.text).replace(/\s*\{\w+\}\s*/g, language === "zh" ? "…" : " … ").trim()}</b>
                <p className="quiet">
                  <code>{verb.name}</code> · {verb.reversible ? t("automation.reversible") : t("automation.needs_person")}
                  {verb.ttl_s ? ` · ${t("automation.holds", { span: duration(verb.ttl_s * 1_000_000, language) })}` : ""}
                </p>
              </div>
              <div className={`budget${share >= 0.8 ? " near" : ""}`}>
                <p>
                  <span className="num">
                    <b>{count(verb.spent, language)}</b> / {count(verb.limit, language)}
                  </span>{" "}
                  {word("unit", verb.unit)} {t("automation.per", { span: duration(verb.per_s * 1_000_000, language) })}
                  {share >= 1 ? <b> · {t("automation.used_up")}</b> : null}
                </p>
                <i aria-hidden="true">
                  <b style={{ width: `${share * 100}%` }} />
                </i>
              </div>
              <Button size="small" onClick={() => setEdited(verb)} aria-label={t("automation.edit_of", { verb: verb.name })}>
                {t("edit")}
              </Button>
            </li>
          );
        })}
      </ul>
      {edited ? <Budget key={edited.name} verb={edited} close={() => setEdited(null)} /> : null}
    </section>
  );
}

function Budget({ verb, close }: { verb: VerbView; close: () => void }) {
  const { t, text, word } = useI18n();
  const { say } = useNotices();
  const problemText = useProblemText();
  const queries = useQueryClient();
  const [number, setNumber] = useState(String(verb.limit));
  const [minutes, setMinutes] = useState(String(verb.per_s / 60));
  const [trouble, setTrouble] = useState("");
  const valid = /^\d+$/.test(number) && Number(minutes) > 0 && Number(minutes) <= 1440;
  const save = async () => {
    try {
      const body = { number: Number(number), per_s: Math.round(Number(minutes) * 60) };
      await send("PUT", `/v1/automation/verbs/${encodeURIComponent(verb.name)}`, body);
      say(t("saved"));
      close();
    } catch (error) {
      setTrouble(problemText(error));
    } finally {
      await queries.invalidateQueries({ queryKey: ["automation"] });
    }
  };
  return (
    <Drawer open onClose={close} size={380} rootClassName="drawer" title={text(verb.text).replace(/\{\w+\}/g, "…")}>
      <form
        className="why"
        onSubmit={(event) => {
          event.preventDefault();
          if (valid) void save();
        }}
      >
        <label className="field">
          <span>{t("automation.at_most", { unit: word("unit", verb.unit) })}</span>
          <input className="input num" inputMode="numeric" value={number} onChange={(event) => setNumber(event.target.value)} />
        </label>
        <label className="field">
          <span>{t("automation.in_minutes")}</span>
          <input className="input num" inputMode="decimal" value={minutes} onChange={(event) => setMinutes(event.target.value)} />
        </label>
        <p className="quiet small">{t("automation.zero_means")}</p>
        {trouble ? (
          <p className="form-error" role="alert">
            {trouble}
          </p>
        ) : null}
        <div className="buttons">
          <Button onClick={close}>{t("cancel")}</Button>
          <Button type="primary" htmlType="submit" disabled={!valid}>
            {t("save")}
          </Button>
        </div>
      </form>
    </Drawer>
  );
}
