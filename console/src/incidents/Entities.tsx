import { Link } from "react-router";

import type { Incident } from "../api/types";
import { figure, shortKey } from "../format/format";
import { useI18n } from "../i18n/I18n";

const SHOWN = 8;

/** Who and what it is about, each a way to its verdicts; and the plain numbers of the evidence. */
export function Entities({ incident }: { incident: Incident }) {
  const { t, word, language } = useI18n();
  const groups = Object.entries(incident.entities).filter(([, keys]) => keys.length);
  const numbers = Object.entries(incident.evidence).filter(
    (entry): entry is [string, number | string] => typeof entry[1] === "number" || typeof entry[1] === "string",
  );
  return (
    <>
      {groups.length ? (
        <section className="panel" aria-labelledby="entities">
          <div className="panelhead">
            <h2 id="entities">{t("incident.entities")}</h2>
          </div>
          <dl className="entities">
            {groups.map(([entity, keys]) => (
              <div key={entity}>
                <dt>
                  {word("entity", entity)} <span className="num">{keys.length}</span>
                </dt>
                <dd>
                  {keys.slice(0, SHOWN).map((key) => (
                    <Link key={key} to={`/verdicts?q=${encodeURIComponent(key)}`} className="chip mono" title={`${entity}:${key}`}>
                      {shortKey(key)}
                    </Link>
                  ))}
                  {keys.length > SHOWN ? <span className="quiet">{t("confirm.more", { count: keys.length - SHOWN })}</span> : null}
                </dd>
              </div>
            ))}
          </dl>
        </section>
      ) : null}
      {numbers.length ? (
        <section className="panel" aria-labelledby="numbers">
          <div className="panelhead">
            <h2 id="numbers">{t("incident.evidence")}</h2>
          </div>
          <dl className="numbers">
            {numbers.map(([name, value]) => (
              <div key={name}>
                <dt className="mono">{name}</dt>
                <dd className="num">{typeof value === "number" ? figure(value, language) : value}</dd>
              </div>
            ))}
          </dl>
        </section>
      ) : null}
    </>
  );
}
