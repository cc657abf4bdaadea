import { clock, countdown, duration } from "../format/format";
import { useNow } from "../hooks/useNow";
import { useI18n } from "../i18n/I18n";

/** How long ago, once a second; the moment itself is in the title. */
export function Ago({ time }: { time: number }) {
  const { t, language } = useI18n();
  const now = useNow();
  return (
    <time className="num" dateTime={new Date(time / 1000).toISOString()} title={clock(time, now)}>
      {t("time.ago", { duration: duration(now - time, language) })}
    </time>
  );
}

export function Clock({ time }: { time: number }) {
  const now = useNow();
  return (
    <time className="num" dateTime={new Date(time / 1000).toISOString()}>
      {clock(time, now)}
    </time>
  );
}

/** What is left of an effect, counting down beside the button that ends it. */
export function Expiry({ at }: { at: number }) {
  const { t } = useI18n();
  const now = useNow();
  const left = at - now;
  return (
    <span className={`expiry num${left < 60_000_000 ? " soon" : ""}`} role="timer">
      {left > 0 ? t("action.expires", { left: countdown(left) }) : t("action.expiring")}
    </span>
  );
}
