import { useTheme, type Choice } from "../hooks/useTheme";
import { useI18n } from "../i18n/I18n";
import { Icon, type IconName } from "../parts/Icon";

/** The other language, in its own name. */
export function LanguageSwitch() {
  const { t, language, choose } = useI18n();
  const other = language === "zh" ? "en" : "zh";
  return (
    <button
      type="button"
      className="tool"
      data-switch="language"
      lang={other === "zh" ? "zh-CN" : "en"}
      title={t("switch.language")}
      onClick={() => choose(other)}
    >
      {other === "zh" ? "中文" : "English"}
    </button>
  );
}

const NEXT: Record<Choice, Choice> = { system: "light", light: "dark", dark: "system" };
const ICON: Record<Choice, IconName> = { system: "screen", light: "sun", dark: "moon" };

export function ThemeSwitch() {
  const { t } = useI18n();
  const { choice, choose } = useTheme();
  const label = t("switch.theme", { now: t(`theme.${choice}`), next: t(`theme.${NEXT[choice]}`) });
  return (
    <button
      type="button"
      className="tool"
      data-switch="theme"
      data-theme-choice={choice}
      title={label}
      aria-label={label}
      onClick={() => choose(NEXT[choice])}
    >
      <Icon name={ICON[choice]} />
    </button>
  );
}
