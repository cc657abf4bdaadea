import { useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";

import { Problem, send } from "../api/client";
import { useAutomation } from "../api/queries";
import type { Action, Incident, VerbView } from "../api/types";
import { clock, count, duration } from "../format/format";
import { serverNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { useConfirm, type Question } from "../parts/Confirm";
import { Money } from "../parts/Money";
import { useNotices } from "../parts/Notices";
import { VerbPhrase } from "./VerbPhrase";

type Act = "approve" | "deny" | "undo";

/** Approve, deny and undo: each shows scope and money first, and reads everything again after. */
export function useActs(): (act: Act, actions: Action[], incident?: Incident) => void {
  const { t, word, language } = useI18n();
  const ask = useConfirm();
  const { say } = useNotices();
  const queries = useQueryClient();
  const verbs = useAutomation().data?.verbs;

  const run = useCallback(
    async (act: Act, actions: Action[]) => {
      let conflict: unknown;
      for (const action of actions) {
        try {
          await send("POST", `/v1/actions/${encodeURIComponent(action.id)}/${act}`);
        } catch (error) {
          // Another person was faster with this one: the others still count.
          if (!(error instanceof Problem && error.status === 409)) throw error;
          conflict = error;
        } finally {
          for (const key of ["actions", "incident", "incidents", "automation", "overview"]) {
            void queries.invalidateQueries({ queryKey: [key] });
          }
        }
      }
      if (conflict) throw conflict;
      say(t(`did.${act}`, { count: actions.length }));
    },
    [queries, say, t],
  );

  const limits = useCallback(
    (same: Action[], verb: VerbView | undefined): Question["lines"] => {
      const ttl = (same[0]?.ttl_s ?? 0) * 1_000_000;
      const now = serverNow();
      const span = ttl
        ? t("confirm.until", { duration: duration(ttl, language), until: clock(now + ttl, now, false) })
        : t("confirm.no_ttl");
      if (!verb) return [{ label: t("confirm.lasts"), value: span }];
      const budget = t("confirm.spent", {
        takes: same.reduce((sum, action) => sum + action.cost, 0),
        spent: count(verb.spent, language),
        limit: count(verb.limit, language),
        unit: word("unit", verb.unit),
        span: duration(verb.per_s * 1_000_000, language),
      });
      return [
        { label: t("confirm.lasts"), value: `${span} · ${t(verb.reversible ? "confirm.undoable" : "confirm.final")}` },
        { label: t("confirm.budget"), value: budget },
      ];
    },
    [language, t, word],
  );

  return useCallback(
    (act, actions, incident) => {
      const [first] = actions;
      if (!first) return;
      const lines: Question["lines"] = [
        {
          label: t("confirm.what"),
          value: (
            <ul className="plainlist">
              {actions.slice(0, 6).map((action) => (
                <li key={action.id}>
                  <VerbPhrase action={action} />
                </li>
              ))}
              {actions.length > 6 ? <li>{t("confirm.more", { count: actions.length - 6 })}</li> : null}
            </ul>
          ),
        },
      ];
      if (act === "approve") {
        for (const name of new Set(actions.map((action) => action.verb))) {
          const same = actions.filter((action) => action.verb === name);
          lines.push(...limits(same, verbs?.find((verb) => verb.name === name)));
        }
      }
      if (incident) {
        lines.push({
          label: t("confirm.at_stake"),
          value: (
            <>
              {t("confirm.per_minute")} <Money minor={incident.loss_per_minute} currency={incident.currency} />
              {" · "}
              {t("confirm.so_far")} <Money minor={incident.loss} currency={incident.currency} />
            </>
          ),
        });
      }
      if (first.expect && act === "approve") {
        lines.push({
          label: t("confirm.should"),
          value: t(first.expect.direction === "up" ? "confirm.should_up" : "confirm.should_down", {
            series: first.expect.series,
            span: duration(first.expect.within_s * 1_000_000, language),
          }),
        });
      }
      ask({
        title: t(`confirm.${act}`, { count: actions.length }),
        lines,
        ...(act === "undo" ? { warning: t("confirm.undo_warning") } : {}),
        ok: t(`act.${act}`),
        danger: act !== "approve",
        run: () => run(act, actions),
      });
    },
    [ask, language, limits, run, t, verbs],
  );
}
