import type { SeriesView } from "../api/types";
import { figure, money, percent } from "../format/format";
import type { Language } from "../i18n/dictionary";

const SHARES = new Set([
  "attack.login-failures",
  "attack.missing",
  "health.http-errors",
  "health.payment-failures",
  "health.payment-failures-all",
]);
const AMOUNTS = new Set(["money_per_minute", "fraud.declined_amount", "health.failed-amount"]);

/** How the values of a series are written: as a share, as money, or as a plain figure. */
export function writer(series: string, currency: string, language: Language): (value: number) => string {
  if (SHARES.has(series)) return (value) => percent(value, language);
  if (AMOUNTS.has(series)) return (value) => money(value, currency, language);
  return (value) => figure(value, language);
}

/** The range of a series' axis: a share goes to 100 % where it comes near it, and never beyond. */
export function axisOf(series: SeriesView): { max?: number; interval?: number } {
  const near = SHARES.has(series.name) && series.points.some(([, value]) => value !== null && value > 0.6);
  return near ? { max: 1, interval: 0.25 } : {};
}
