import type { PlaneView } from "../api/types";
import { bytes } from "../format/format";
import { useI18n } from "../i18n/I18n";

/** Memory by part; each bar is its share of the whole process. */
export function Memory({ parts }: { parts: PlaneView["memory"] }) {
  const { t, word, language } = useI18n();
  const most = Math.max(1, ...parts.map((one) => one.bytes));
  return (
    <section className="panel" aria-labelledby="memory">
      <div className="panelhead">
        <h2 id="memory">{t("plane.memory")}</h2>
      </div>
      <ul className="bars pad" data-list="memory">
        {parts.map((one) => (
          <li key={one.part} className="bar">
            <span>{word("part", one.part)}</span>
            <i aria-hidden="true">
              <b style={{ width: `${(one.bytes / most) * 100}%` }} />
            </i>
            <span className="num">{bytes(one.bytes, language)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
