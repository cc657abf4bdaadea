import { useI18n } from "../i18n/I18n";
import { Icon, type IconName } from "./Icon";

type Tone = "p1" | "p2" | "p3" | "p4" | "good" | "accent" | "plain";

/** A state as icon, word and colour: each of the three would do alone. */
export function Mark({ icon, tone, children, solid }: { icon: IconName; tone: Tone; children: string; solid?: boolean }) {
  return (
    <span className={`mark tone-${tone}${solid ? " solid" : ""}`}>
      <Icon name={icon} />
      {children}
    </span>
  );
}

const SEVERITY: Record<string, [IconName, Tone]> = {
  P1: ["flame", "p1"],
  P2: ["incident", "p2"],
  P3: ["pulse", "p3"],
  P4: ["minus", "p4"],
};

export function Severity({ level }: { level: string }) {
  const { word } = useI18n();
  const [icon, tone] = SEVERITY[level] ?? ["minus", "p4"];
  return (
    <span className={`severity tone-${tone}${level === "P1" ? " solid" : ""}`} title={word("severity", level)}>
      <Icon name={icon} />
      {level}
      <span className="visually-hidden">{word("severity", level)}</span>
    </span>
  );
}

const MARKS: Record<string, Record<string, [IconName, Tone]>> = {
  phase: {
    open: ["incident", "p2"],
    mitigating: ["wrench", "accent"],
    monitoring: ["eye", "accent"],
    resolved: ["check", "good"],
    dismissed: ["cross", "plain"],
  },
  decision: {
    allow: ["check", "good"],
    challenge: ["question", "p3"],
    hold: ["hand", "p2"],
    deny: ["stop", "p1"],
  },
  state: {
    asked: ["hand", "p2"],
    suggested: ["eye", "plain"],
    due: ["clock", "accent"],
    done: ["check", "good"],
    standing: ["check", "good"],
    failed: ["cross", "p1"],
    denied: ["stop", "plain"],
    undoing: ["undo", "accent"],
    undone: ["undo", "plain"],
    expired: ["clock", "plain"],
  },
  effect: {
    helped: ["check", "good"],
    no_difference: ["minus", "plain"],
    hurt: ["incident", "p1"],
    unknown: ["question", "plain"],
  },
  letter: {
    waiting: ["letter", "p2"],
    accepted: ["check", "good"],
    discarded: ["cross", "plain"],
  },
  mode: {
    off: ["minus", "plain"],
    shadow: ["eye", "accent"],
    live: ["verdict", "good"],
  },
  weight: {
    alarm: ["flame", "p1"],
    warning: ["incident", "p2"],
    hint: ["eye", "accent"],
  },
  label: {
    confirmed: ["check", "p1"],
    false_alarm: ["cross", "plain"],
  },
};

/** The mark of one word of a closed list: phase, decision, state, effect, letter, mode, weight, label. */
export function WordMark({ list, value }: { list: string; value: string }) {
  const { word } = useI18n();
  const [icon, tone] = MARKS[list]?.[value] ?? ["question", "plain"];
  return (
    <Mark icon={icon} tone={tone}>
      {word(list, value)}
    </Mark>
  );
}
