import type { components } from "./schema";

/** The server's own shapes, by their names; times are microseconds since the epoch, money is in minor units. */
type Schemas = components["schemas"];

export type Action = Schemas["Action"];
export type Advice = Schemas["Advice"];
export type AutomationView = Schemas["AutomationView"];
export type CheckView = Schemas["CheckView"];
export type DeadLetter = Schemas["DeadLetter"];
export type Decision = Schemas["Decision"];
export type Incident = Schemas["Incident"];
export type IncidentView = Schemas["IncidentView"];
export type Moment = Schemas["Moment"];
export type Notice = Schemas["Notice"];
export type Overview = Schemas["Overview"];
export type PlaneView = Schemas["PlaneView"];
export type PlaybookDetail = Schemas["PlaybookDetail"];
export type PlaybookView = Schemas["PlaybookView"];
export type Reason = Schemas["Reason"];
export type Rule = Schemas["Rule"];
export type RuleCost = Schemas["RuleCost"];
export type RuleView = Schemas["RuleView"];
export type Ruling = Schemas["Ruling"];
export type SeriesView = Schemas["SeriesView"];
export type SessionView = Schemas["SessionView"];
export type Signal = Schemas["Signal"];
export type StageView = Schemas["StageView"];
export type Text = Schemas["Text"];
export type Verdict = Schemas["Verdict"];
export type VerbView = Schemas["VerbView"];

export interface Page<T> {
  items: T[];
  next: string;
}
