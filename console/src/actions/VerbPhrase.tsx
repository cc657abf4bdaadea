import { useAutomation } from "../api/queries";
import type { Action } from "../api/types";
import { shortKey } from "../format/format";
import { useI18n } from "../i18n/I18n";

/** What an action does and to whom, in the words of the server's table of verbs: `Block address 203.0.113.7`. */
export function VerbPhrase({ action }: { action: Pick<Action, "verb" | "target"> & Partial<Pick<Action, "args">> }) {
  const { text } = useI18n();
  const verb = useAutomation().data?.verbs.find((row) => row.name === action.verb);
  const key = action.target.slice(action.target.indexOf(":") + 1);
  const phrase = verb ? text(verb.text) : `${action.verb} {target}`;
  return (
    <span className="verbphrase" title={action.target}>
      {phrase.split(/(\{\w+\})/).map((part, index) => {
        const place = /^\{(\w+)\}$/.exec(part)?.[1];
        if (!place) return part;
        const value = place === "target" ? shortKey(key) : String(action.args?.[place] ?? key);
        return (
          <b key={index} className="mono">
            {value}
          </b>
        );
      })}
    </span>
  );
}
