import { useOverview } from "../api/queries";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { useKillSwitch } from "../automation/useKillSwitch";

/** What everybody must know on every page: this is the demo store; nothing acts; nothing comes in; a part does not work. */
export function Banners() {
  const { t } = useI18n();
  const overview = useOverview().data;
  const kill = useKillSwitch();
  return (
    <div className="banners">
      {overview?.automation.kill ? (
        <div className="banner stop" role="alert">
          <Icon name="stop" />
          <span>{t("kill.banner")}</span>
          <button type="button" className="link bare" onClick={() => kill(false)}>
            {t("kill.release")}
          </button>
        </div>
      ) : null}
      {overview?.refusing ? (
        <div className="banner stop" role="alert">
          <Icon name="plug" />
          <span>{t("intake.refuses", { why: overview.refusing })}</span>
        </div>
      ) : null}
      {Object.entries(overview?.faults ?? {}).map(([part, why]) => (
        <div key={part} className="banner stop" role="alert">
          <Icon name="plug" />
          <span>{t("fault.banner", { part, why })}</span>
        </div>
      ))}
      {overview?.demo ? (
        <div className="banner demo">
          <Icon name="tag" />
          <span>{t("demo.banner")}</span>
        </div>
      ) : null}
    </div>
  );
}
