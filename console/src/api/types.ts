/* Shapes of the console's API; times are microseconds since the epoch, money is in minor units of its currency. */
export interface Text {
  en: string;
  zh: string;
}
export interface Reason {
  code: string;
  text: Text;
  feature?: string;
  value?: number | string | null;
  contribution?: number | null;
  rule?: string;
}
export type Severity = "P1" | "P2" | "P3" | "P4";
export type Phase = "open" | "mitigating" | "monitoring" | "resolved" | "dismissed";
export type Decision = "allow" | "challenge" | "hold" | "deny";
export interface Moment {
  time: number;
  what: string;
  ref?: string;
  who?: string;
  detail?: Record<string, unknown>;
}
export interface Incident {
  id: string;
  shop: string;
  kind: string;
  title: Text;
  subject: string;
  severity: Severity;
  phase: Phase;
  onset: number;
  opened: number;
  updated: number;
  entities?: Record<string, string[]>;
  signals?: string[];
  desks?: string[];
  score?: number;
  loss_per_minute?: number;
  loss?: number;
  currency?: string;
  series?: string;
  evidence?: Record<string, unknown>;
  timeline?: Moment[];
  label?: string;
  closed?: number;
  version?: number;
}
export interface Signal {
  id: string;
  desk: string;
  kind: string;
  shop: string;
  subject: string;
  score: number;
  onset: number;
  tau: number;
  entities?: Record<string, string>;
  evidence?: Record<string, unknown>;
  reasons?: Reason[];
  loss_per_minute?: number;
  currency?: string;
  series?: string;
}
export interface Expectation {
  series: string;
  direction: string;
  within_s: number;
}
export interface Action {
  id: string;
  shop: string;
  incident: string;
  playbook: string;
  step: number;
  verb: string;
  target: string;
  args?: Record<string, unknown>;
  ttl_s?: number;
  cost?: number;
  expect?: Expectation | null;
  state?: string;
  effect?: string;
  created?: number;
  decided?: number;
  done?: number;
  ended?: number;
  expires?: number;
  by?: string;
  error?: string;
  attempts?: number;
  before?: number | null;
  after?: number | null;
  version?: number;
}
export interface Ruling {
  id: string;
  action: string;
  answer: string;
  reasons: { code: string; text: Text }[];
  time: number;
  by?: string;
}
export interface Outcome {
  id: string;
  action: string;
  what: string;
  time: number;
  effect?: string;
  before?: number | null;
  after?: number | null;
  detail?: string;
  by?: string;
}
export interface SeriesView {
  name: string;
  key: string;
  points: [number, number | null][];
  bucket_s: number;
}
export interface IncidentView {
  incident: Incident;
  signals: Signal[];
  actions: Action[];
  rulings: Ruling[];
  outcomes: Outcome[];
  series: SeriesView | null;
}
export interface Verdict {
  id: string;
  event_id: string;
  event_source: string;
  event_type: string;
  shop: string;
  subject: string;
  time: number;
  tau: number;
  computed: Decision;
  served: Decision;
  score?: number | null;
  reasons?: Reason[];
  expires?: number;
  late?: boolean;
  degraded?: string;
  model?: string;
  features?: Record<string, number | null>;
  amount?: number | null;
  currency?: string;
  outcome?: string;
}
export interface DeadLetter {
  id: string;
  received: number;
  shop: string;
  door: string;
  code: string;
  field: string;
  reason: string;
  document: string;
  event_id?: string;
  event_type?: string;
  state?: string;
}
export interface Page<T> {
  items: T[];
  next: string;
}
export interface Overview {
  now: number;
  shop: string;
  currency: string;
  demo: boolean;
  automation: { ceiling: string; kill: boolean; verdict_mode: string };
  rates: Record<string, number>;
  money_per_minute: number;
  open_incidents: Record<string, number>;
  verdicts: Record<string, number>;
  waiting_actions: number;
  lag_s: number;
  queue: number;
  refusing: string;
  series: SeriesView[];
  counters: Record<string, number>;
}
export interface SessionView {
  user: string;
  role: string;
  must_change: boolean;
  csrf: string;
  language: string;
}
export interface PlaybookView {
  name: string;
  title: Text;
  on: string[];
  automation: string;
  version: number;
}
export interface Step {
  verb: string;
  target?: string;
  when?: string;
  ttl_s?: number;
  at_most?: number;
}
export interface Playbook {
  name: string;
  title: Text;
  on: string[];
  steps: Step[];
  when?: string;
  automation?: string;
}
export interface PlaybookDetail {
  playbook: Playbook;
  stored: boolean;
  by: string;
  changed: number;
}
export interface VerbView {
  name: string;
  text: Text;
  unit: string;
  limit: number;
  per_s: number;
  spent: number;
  reversible: boolean;
  ttl_s: number;
}
export interface AutomationView {
  ceiling: string;
  kill: boolean;
  kill_reason: string;
  verdict_mode: string;
  playbooks: PlaybookView[];
  verbs: VerbView[];
  protected: string[];
}
export interface Rule {
  id: string;
  when: string;
  decision: Decision;
  code: string;
  text: Text;
  on?: string[];
  mode?: string;
  desk?: string;
  ttl_s?: number;
  note?: string;
}
export interface RuleView {
  rule: Rule;
  stored: boolean;
  by: string;
  changed: number;
  version: number;
}
export interface CheckError {
  message: string;
  line: number;
  column: number;
}
export interface CheckView {
  ok: boolean;
  error: CheckError | null;
}
