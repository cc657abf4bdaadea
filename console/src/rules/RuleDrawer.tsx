import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Drawer, Select } from "antd";
import { useDeferredValue, useState, type ReactNode } from "react";

import { send } from "../api/client";
import type { CheckView, Decision, Rule, RuleView } from "../api/types";
import { useI18n } from "../i18n/I18n";
import { Choice } from "../parts/Choice";
import { useConfirm } from "../parts/Confirm";
import { Editor } from "../parts/Editor";
import { Icon } from "../parts/Icon";
import { useNotices, useProblemText } from "../parts/Notices";

const DECISIONS: Decision[] = ["allow", "challenge", "hold", "deny"];
const MODES = ["off", "shadow", "live"];

const BLANK: Rule = {
  id: "",
  when: "",
  decision: "challenge",
  code: "",
  text: { en: "", zh: "" },
  on: [],
  mode: "shadow",
  desk: "",
  ttl_s: 900,
  note: "",
};

/** The server's own answer to the expression as it is typed: the same check that saving makes. */
function useCheck(when: string, desk: string) {
  const settled = useDeferredValue(when);
  return useQuery({
    queryKey: ["check", desk, settled],
    queryFn: async ({ signal }) => {
      await new Promise((resolve) => setTimeout(resolve, 250));
      signal.throwIfAborted();
      return send<CheckView>("POST", "/v1/rules/check", { when: settled, desk });
    },
    enabled: settled.trim() !== "",
    staleTime: Infinity,
  });
}

export default function RuleDrawer({ view, close }: { view: RuleView | null; close: () => void }) {
  const { t, word } = useI18n();
  const queries = useQueryClient();
  const ask = useConfirm();
  const { say } = useNotices();
  const problemText = useProblemText();
  const [rule, setRule] = useState<Rule>(view?.rule ?? BLANK);
  const [trouble, setTrouble] = useState("");
  const check = useCheck(rule.when, rule.desk);
  const change = (part: Partial<Rule>) => setRule((before) => ({ ...before, ...part }));
  const complete = Boolean(rule.id && rule.when.trim() && rule.code && rule.text.en && rule.text.zh);

  const put = async () => {
    try {
      await send("PUT", `/v1/rules/${encodeURIComponent(rule.id)}`, rule);
      say(t("saved"));
      close();
    } catch (error) {
      setTrouble(problemText(error));
    } finally {
      await queries.invalidateQueries({ queryKey: ["rules"] });
    }
  };
  const save = () => {
    if (rule.mode !== "live" || rule.decision === "allow") return void put();
    ask({
      title: t("rules.confirm_live", { rule: rule.id }),
      lines: [
        { label: t("verdict.decision"), value: word("decision", rule.decision) },
        { label: t("rules.when"), value: <code>{rule.when}</code> },
        { label: t("confirm.means"), value: t("rules.live_means") },
      ],
      ok: t("rules.go_live"),
      danger: true,
      run: put,
    });
  };

  return (
    <Drawer open onClose={close} size={620} rootClassName="drawer" title={view ? view.rule.id : t("rules.new")}>
      <form
        className="why"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        {view ? null : (
          <Labelled label={t("rules.id")}>
            <input className="input mono" value={rule.id} onChange={(event) => change({ id: event.target.value })} />
          </Labelled>
        )}
        <div className="field">
          <span>{t("rules.when")}</span>
          <Editor label={t("rules.when")} value={rule.when} change={(when) => change({ when })} rows={4} error={check.data?.error ?? null} />
          <p className={`check ${check.data?.ok ? "ok" : ""}`} aria-live="polite">
            {check.data?.ok ? (
              <>
                <Icon name="check" /> {t("rules.check_ok")}
              </>
            ) : rule.when.trim() && !check.data ? (
              t("rules.checking")
            ) : null}
          </p>
        </div>
        <div className="pair">
          <Labelled label={t("verdict.decision")}>
            <Select
              aria-label={t("verdict.decision")}
              value={rule.decision}
              onChange={(decision) => change({ decision })}
              options={DECISIONS.map((value) => ({ value, label: word("decision", value) }))}
            />
          </Labelled>
          <Labelled label={t("rules.code")}>
            <input className="input mono" value={rule.code} onChange={(event) => change({ code: event.target.value })} />
          </Labelled>
        </div>
        <Labelled label={t("rules.text_en")}>
          <input
            className="input"
            lang="en"
            value={rule.text.en}
            onChange={(event) => change({ text: { ...rule.text, en: event.target.value } })}
          />
        </Labelled>
        <Labelled label={t("rules.text_zh")}>
          <input
            className="input"
            lang="zh-CN"
            value={rule.text.zh}
            onChange={(event) => change({ text: { ...rule.text, zh: event.target.value } })}
          />
        </Labelled>
        <div className="field">
          <span>{t("rules.mode")}</span>
          <Choice
            label={t("rules.mode")}
            value={rule.mode}
            change={(mode) => change({ mode: mode as NonNullable<Rule["mode"]> })}
            options={MODES.map((value) => ({ value, label: word("mode", value) }))}
          />
          <p className="quiet small">{t("rules.mode_lead")}</p>
        </div>
        {trouble ? (
          <p className="form-error" role="alert">
            <Icon name="incident" />
            {trouble}
          </p>
        ) : null}
        <div className="buttons">
          <Button onClick={close}>{t("cancel")}</Button>
          <Button type="primary" htmlType="submit" disabled={!complete || check.data?.ok === false}>
            {t("save")}
          </Button>
        </div>
      </form>
    </Drawer>
  );
}

function Labelled({ label, children }: { label: string; children: ReactNode }) {
  return (
    <label className="field">
      <span>{label}</span>
      {children}
    </label>
  );
}
