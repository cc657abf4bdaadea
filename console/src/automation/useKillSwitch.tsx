import { useQueryClient } from "@tanstack/react-query";

import { send } from "../api/client";
import { useI18n } from "../i18n/I18n";
import { useConfirm } from "../parts/Confirm";
import { useNotices } from "../parts/Notices";

/** Asks first, then stops every automatic action, or lets them go on. */
export function useKillSwitch(): (on: boolean) => void {
  const { t } = useI18n();
  const ask = useConfirm();
  const { say } = useNotices();
  const queries = useQueryClient();
  return (on) =>
    ask({
      title: on ? t("kill.confirm_on") : t("kill.confirm_off"),
      lines: [
        { label: t("kill.stops"), value: on ? t("kill.on_stops") : t("kill.off_stops") },
        { label: t("kill.stays"), value: on ? t("kill.on_stays") : t("kill.off_stays") },
      ],
      ok: on ? t("kill.pull") : t("kill.release"),
      danger: on,
      note: { label: t("kill.reason"), placeholder: t("kill.reason_hint"), required: true },
      run: async (reason) => {
        await send("POST", "/v1/automation/kill", { on, reason });
        say(on ? t("kill.did_on") : t("kill.did_off"));
        await Promise.all([
          queries.invalidateQueries({ queryKey: ["overview"] }),
          queries.invalidateQueries({ queryKey: ["automation"] }),
        ]);
      },
    });
}
