import { money } from "../format/format";
import { useI18n } from "../i18n/I18n";

/** An amount in minor units; shortened where it is long, exact in the title. */
export function Money({ minor, currency }: { minor: number; currency: string }) {
  const { language } = useI18n();
  return (
    <span className="num" title={money(minor, currency, language, true)}>
      {money(minor, currency, language)}
    </span>
  );
}
