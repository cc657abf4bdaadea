import { useDeadLetter, useDeadLetters } from "../api/queries";
import { useQueryState } from "../hooks/useQueryState";
import { readOf, useSteady } from "../hooks/useSteady";
import { useI18n } from "../i18n/I18n";
import { LetterDrawer } from "../letters/LetterDrawer";
import { Choice } from "../parts/Choice";
import { WordMark } from "../parts/Mark";
import { Empty, Fresh, More, QueryState } from "../parts/States";
import { Clock } from "../parts/Time";
import { PageHead } from "../shell/PageHead";

const STATES = ["waiting", "accepted", "discarded"];

export default function DeadLetters() {
  const { t, word } = useI18n();
  const [state, setState] = useQueryState("state", "waiting");
  const [at, setAt] = useQueryState("at");
  const query = useDeadLetters({ state });
  const steady = useSteady(readOf(query), state);
  const asked = useDeadLetter(at).data;
  const letter = asked ?? steady.rows.find((row) => row.id === at) ?? null;
  return (
    <>
      <PageHead title={t("nav.dead_letters")}>
        <p className="quiet">{t("letters.lead")}</p>
      </PageHead>
      <div className="filters">
        <Choice
          label={t("letters.state")}
          value={state}
          change={setState}
          options={STATES.map((value) => ({ value, label: word("letter", value) }))}
        />
        <span className="spring" />
        <Fresh count={steady.fresh} show={steady.show} />
      </div>
      <section className="panel" aria-label={t("nav.dead_letters")}>
        <QueryState query={query} />
        {steady.rows.length ? (
          <ul className="rows" data-list="dead-letters">
            {steady.rows.map((row) => (
              <li key={row.id} className={`letter-row${steady.gone.has(row.id) ? " gone" : ""}`} data-rowbox data-id={row.id}>
                <Clock time={row.received} />
                <WordMark list="letter" value={row.state} />
                <button type="button" className="rowbutton" data-row onClick={() => setAt(row.id)}>
                  <span className="letter-reason">
                    {word("code", row.code)} {row.field ? <code>{row.field}</code> : null}
                  </span>
                  <span className="quiet">
                    {row.reason}
                    {row.event_type ? ` · ${word("type", row.event_type)}` : ""} · <code>{row.door}</code>
                  </span>
                </button>
              </li>
            ))}
          </ul>
        ) : query.data ? (
          <Empty icon="check">{t(state === "waiting" ? "letters.none" : "letters.none_match")}</Empty>
        ) : null}
        <More query={query} />
      </section>
      {at && letter ? <LetterDrawer key={letter.id} letter={letter} close={() => setAt("")} /> : null}
    </>
  );
}
