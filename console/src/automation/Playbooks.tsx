import { useQueryClient } from "@tanstack/react-query";

import { get, send } from "../api/client";
import type { AutomationView, PlaybookDetail, PlaybookView } from "../api/types";
import { count, duration } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Choice } from "../parts/Choice";
import { useConfirm } from "../parts/Confirm";
import { Icon } from "../parts/Icon";
import { useNotices } from "../parts/Notices";
import { Empty } from "../parts/States";

const WORDS = ["suggest", "approve", "auto"];

/** How far each playbook may go by itself; the ceiling of the installation holds over all. */
export function Playbooks({ view }: { view: AutomationView }) {
  const { t, word, text, language } = useI18n();
  const ask = useConfirm();
  const { say, complain } = useNotices();
  const queries = useQueryClient();

  const choose = async (playbook: PlaybookView, automation: string) => {
    if (automation === playbook.automation) return;
    let detail: PlaybookDetail;
    try {
      detail = await get<PlaybookDetail>(`/v1/playbooks/${encodeURIComponent(playbook.name)}`);
    } catch (error) {
      complain(error);
      return;
    }
    const steps = detail.playbook.steps.map((step) => {
      const verb = view.verbs.find((row) => row.name === step.verb);
      const phrase = verb ? text(verb.text).replace(/\{\w+\}/g, "…") : step.verb;
      return verb
        ? `${phrase} — ${t("automation.budget", {
            limit: count(verb.limit, language),
            unit: word("unit", verb.unit),
            span: duration(verb.per_s * 1_000_000, language),
          })}`
        : phrase;
    });
    ask({
      title: t("automation.confirm", { playbook: text(playbook.title), word: word("automation", automation) }),
      lines: [
        { label: t("automation.on"), value: playbook.on.map((kind) => word("kind", kind)).join(", ") },
        {
          label: t("automation.may"),
          value: (
            <ul className="plainlist">
              {steps.map((step, index) => (
                <li key={index}>{step}</li>
              ))}
            </ul>
          ),
        },
        { label: t("confirm.means"), value: t(`automation.means_${automation as "suggest" | "approve" | "auto"}`) },
      ],
      ...(WORDS.indexOf(automation) > WORDS.indexOf(view.ceiling)
        ? { warning: t("automation.above_ceiling", { ceiling: word("automation", view.ceiling) }) }
        : {}),
      ok: t("automation.set", { word: word("automation", automation) }),
      danger: automation === "auto",
      run: async () => {
        await send("PUT", `/v1/automation/playbooks/${encodeURIComponent(playbook.name)}`, { automation });
        say(t("saved"));
        await queries.invalidateQueries({ queryKey: ["automation"] });
      },
    });
  };

  return (
    <section className="panel" aria-labelledby="playbooks">
      <div className="panelhead">
        <h2 id="playbooks">{t("automation.playbooks")}</h2>
        <span className="quiet">{t("automation.ceiling", { word: word("automation", view.ceiling) })}</span>
      </div>
      {view.playbooks.length ? (
        <ul className="rows">
          {view.playbooks.map((playbook) => (
            <li key={playbook.name} className="playbook-row" data-rowbox data-id={playbook.name}>
              <div data-row tabIndex={0}>
                <b>{text(playbook.title)}</b>
                <p className="quiet">
                  <code>{playbook.name}</code> · {playbook.on.map((kind) => word("kind", kind)).join(", ")}
                </p>
                {WORDS.indexOf(playbook.automation) > WORDS.indexOf(view.ceiling) ? (
                  <p className="held">
                    <Icon name="hand" /> {t("automation.held", { ceiling: word("automation", view.ceiling) })}
                  </p>
                ) : null}
              </div>
              <Choice
                label={text(playbook.title)}
                value={playbook.automation}
                change={(value) => void choose(playbook, value)}
                options={WORDS.map((value) => ({ value, label: word("automation", value) }))}
              />
            </li>
          ))}
        </ul>
      ) : (
        <Empty icon="automation">{t("automation.no_playbooks")}</Empty>
      )}
    </section>
  );
}
