import { shortKey } from "../format/format";
import { useI18n } from "../i18n/I18n";

/** An entity and its key: `Card 3f9a2c1b07…`, the whole key in the title. */
export function Subject({ subject }: { subject: string }) {
  const { word } = useI18n();
  const at = subject.indexOf(":");
  const [entity, key] = at < 0 ? ["", subject] : [subject.slice(0, at), subject.slice(at + 1)];
  return (
    <span className="subject" title={subject}>
      {entity ? <span className="quiet">{word("entity", entity)} </span> : null}
      <span className="mono">{shortKey(key)}</span>
    </span>
  );
}
