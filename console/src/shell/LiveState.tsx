import { useLive } from "../api/live";
import { clock, duration } from "../format/format";
import { serverNow, useNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";

/** Whether what is on the screen is now, and since when it is not. */
export function LiveState() {
  const { t, language } = useI18n();
  const live = useLive();
  const now = useNow();
  if (live.state !== "reconnecting") {
    return (
      <span className={`live ${live.state}`} role="status">
        <i />
        {live.state === "live" ? t("live.live") : t("live.connecting")}
      </span>
    );
  }
  const since = live.since * 1000 + (serverNow() - Date.now() * 1000);
  return (
    <span className="live lost" role="status">
      <Icon name="plug" />
      {t("live.lost", { since: clock(since, now), duration: duration(now - since, language) })}
    </span>
  );
}
