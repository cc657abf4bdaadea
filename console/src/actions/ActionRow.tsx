import { Button } from "antd";

import type { Action, Incident, Ruling } from "../api/types";
import { writer } from "../charts/units";
import { useNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { WordMark } from "../parts/Mark";
import { Clock, Expiry } from "../parts/Time";
import { useActs } from "./useActs";
import { VerbPhrase } from "./VerbPhrase";

const ENDED = ["undone", "expired", "denied", "failed"];

/** One action with its state, what is left of it, why it was ruled so, and the buttons that may be pressed now. */
export function ActionRow({ action, ruling, incident }: { action: Action; ruling?: Ruling | undefined; incident: Incident }) {
  const { t, text, language } = useI18n();
  const write = writer(action.expect?.series.split("/")[0] ?? "", incident.currency, language);
  const acts = useActs();
  const now = useNow();
  const { state } = action;
  const waiting = state === "asked" || state === "suggested";
  const standing = state === "done" && action.ttl_s > 0 && action.expires > now;
  return (
    <li className={`action${ENDED.includes(state) ? " ended" : ""}`} data-rowbox>
      <div className="action-what" data-row tabIndex={0}>
        <VerbPhrase action={action} />
        <span className="action-why">
          {ruling?.reasons.map((reason) => text(reason.text)).join(" · ")}
          {ruling?.reasons.length ? " · " : ""}
          {t("action.by_playbook", { playbook: action.playbook })}
        </span>
        {state === "failed" && action.error ? <span className="action-error">{action.error}</span> : null}
      </div>
      <div className="action-state">
        <WordMark list="state" value={standing ? "standing" : state} />
        {action.effect ? <WordMark list="effect" value={action.effect} /> : null}
        {typeof action.before === "number" && typeof action.after === "number" ? (
          <span className="quiet num">
            {write(action.before)} → {write(action.after)}
          </span>
        ) : null}
        {action.done ? (
          <span className="quiet">
            <Clock time={action.done} /> {action.by}
          </span>
        ) : null}
      </div>
      <div className="action-acts">
        {waiting ? (
          <>
            <Button type="primary" size="small" data-act="approve" onClick={() => acts("approve", [action], incident)}>
              <Icon name="check" /> {t("act.approve")}
            </Button>
            <Button size="small" data-act="deny" onClick={() => acts("deny", [action], incident)}>
              {t("act.deny")}
            </Button>
          </>
        ) : null}
        {standing ? (
          <>
            <Expiry at={action.expires} />
            <Button size="small" data-act="undo" onClick={() => acts("undo", [action], incident)}>
              <Icon name="undo" /> {t("act.undo")}
            </Button>
          </>
        ) : null}
      </div>
    </li>
  );
}
