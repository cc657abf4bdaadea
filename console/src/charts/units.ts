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

/** The range of a series' axis: a share never goes beyond 100 %. */
export function axisOf(series: string): { max?: (range: { max: number }) => number | null } {
  return SHARES.has(series) ? { max: ({ max }) => (max > 0.6 ? 1 : null) } : {};
}
