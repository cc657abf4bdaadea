import { useQueryClient } from "@tanstack/react-query";
import { Button, Dropdown } from "antd";

import { send } from "../api/client";
import type { Incident } from "../api/types";
import { useI18n } from "../i18n/I18n";
import { useConfirm, type Question } from "../parts/Confirm";
import { Icon } from "../parts/Icon";
import { Money } from "../parts/Money";
import { useNotices } from "../parts/Notices";

/** The life cycle of core/incident.py: what may follow each phase. */
const NEXT: Record<string, string[]> = {
  open: ["mitigating", "monitoring", "resolved"],
  mitigating: ["open", "monitoring", "resolved"],
  monitoring: ["open", "mitigating", "resolved"],
  resolved: ["open"],
  dismissed: ["open"],
};

/** What a person says of an incident: what it was, and where it stands. */
export function IncidentActs({ incident }: { incident: Incident }) {
  const { t, word, text } = useI18n();
  const ask = useConfirm();
  const { say } = useNotices();
  const queries = useQueryClient();
  const path = `/v1/incidents/${encodeURIComponent(incident.id)}`;

  const facts: Question["lines"] = [
    { label: t("confirm.incident"), value: text(incident.title) },
    { label: t("incident.loss"), value: <Money minor={incident.loss} currency={incident.currency} /> },
  ];
  const after = async () => {
    for (const key of ["incident", "incidents", "actions", "overview"]) {
      await queries.invalidateQueries({ queryKey: [key] });
    }
  };
  const label = (value: "confirmed" | "false_alarm") =>
    ask({
      title: t(`label.confirm_${value}`),
      lines: [...facts, { label: t("confirm.means"), value: t(`label.means_${value}`) }],
      ok: t(`label.${value}`),
      danger: value === "false_alarm",
      note: { label: t("note"), placeholder: t("note.hint") },
      run: async (note) => {
        try {
          await send("POST", `${path}/label`, { label: value, note });
          say(t("label.did"));
        } finally {
          await after();
        }
      },
    });
  const move = (phase: string) =>
    ask({
      title: t("phase.confirm", { phase: word("phase", phase) }),
      lines: [...facts, { label: t("phase.now"), value: word("phase", incident.phase) }],
      ok: t("phase.move", { phase: word("phase", phase) }),
      note: { label: t("note"), placeholder: t("note.hint") },
      run: async (note) => {
        try {
          await send("POST", `${path}/phase`, { phase, note });
          say(t("phase.did", { phase: word("phase", phase) }));
        } finally {
          await after();
        }
      },
    });

  return (
    <div className="buttons">
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            { key: "confirmed", label: t("label.confirmed_long"), onClick: () => label("confirmed") },
            { key: "false_alarm", label: t("label.false_alarm_long"), onClick: () => label("false_alarm") },
          ],
        }}
      >
        <Button data-act="label">
          <Icon name="tag" /> {t("act.label")} <kbd>e</kbd>
        </Button>
      </Dropdown>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: (NEXT[incident.phase] ?? []).map((phase) => ({
            key: phase,
            label: word("phase", phase),
            onClick: () => move(phase),
          })),
        }}
      >
        <Button data-act="phase">
          <Icon name="wrench" /> {t("act.phase")}
        </Button>
      </Dropdown>
    </div>
  );
}
