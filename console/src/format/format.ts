import type { Language } from "../i18n/dictionary";

const LOCALE: Record<Language, string> = { en: "en-GB", zh: "zh-CN" };
/** Where millions are "M": the "m" of British English would be read as minutes beside durations. */
const COMPACT: Record<Language, string> = { en: "en-US", zh: "zh-CN" };
const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(language: Language, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = language + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat((options.notation === "compact" ? COMPACT : LOCALE)[language], options);
    formats.set(key, format);
  }
  return format;
}

/** Money of `minor` units, short from 100,000 on. A currency that nobody knows is written behind the number. */
export function money(minor: number, currency: string, language: Language, exact = false): string {
  const code = /^[A-Z]{3}$/.test(currency) ? currency : "CNY";
  const plain = numberFormat(language, { style: "currency", currency: code, currencyDisplay: "narrowSymbol" });
  const digits = plain.resolvedOptions().maximumFractionDigits ?? 2;
  const amount = minor / 10 ** digits;
  if (exact) return plain.format(amount);
  const short = Math.abs(amount) >= 100_000;
  return numberFormat(language, {
    style: "currency",
    currency: code,
    currencyDisplay: "narrowSymbol",
    maximumFractionDigits: short ? 1 : Math.abs(amount) >= 1000 ? 0 : digits,
    minimumFractionDigits: short || Math.abs(amount) >= 1000 || Number.isInteger(amount) ? 0 : digits,
    ...(short ? { notation: "compact" as const } : {}),
  }).format(amount);
}

export function count(value: number, language: Language): string {
  return numberFormat(language, Math.abs(value) >= 100_000 ? { notation: "compact", maximumFractionDigits: 1 } : {}).format(
    value,
  );
}

/** A number of every digit, where it names a place: a seq. */
export function exact(value: number, language: Language): string {
  return numberFormat(language, {}).format(value);
}

/** A figure with three significant digits: 1,240, 12.4, 0.124. */
export function figure(value: number, language: Language): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return count(Math.round(value), language);
  return numberFormat(language, { maximumSignificantDigits: 3 }).format(value);
}

const BYTES = ["B", "kB", "MB", "GB", "TB"];

/** Bytes with three significant digits: 812 B, 1.24 MB. */
export function bytes(value: number, language: Language): string {
  const step = Math.min(BYTES.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${numberFormat(language, { maximumSignificantDigits: 3 }).format(value / 1000 ** step)} ${BYTES[step] ?? ""}`;
}

/** A short span in the unit that fits: 0.42 µs, 3.1 ms, 2.5 s. */
export function short(seconds: number, language: Language): string {
  const [factor, unit] = seconds >= 1 || seconds === 0 ? [1, "s"] : seconds >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
  return `${numberFormat(language, { maximumSignificantDigits: 3 }).format(seconds * factor)} ${unit}`;
}

export function percent(share: number, language: Language): string {
  return numberFormat(language, { style: "percent", maximumFractionDigits: share < 0.1 && share > 0 ? 1 : 0 }).format(share);
}

const two = (value: number) => String(value).padStart(2, "0");

/** `14:03:09` here; with the date where it is not today. */
export function clock(micros: number, now: number, seconds = true): string {
  const time = new Date(micros / 1000);
  const hands = `${two(time.getHours())}:${two(time.getMinutes())}${seconds ? `:${two(time.getSeconds())}` : ""}`;
  const today = new Date(now / 1000);
  return time.toDateString() === today.toDateString()
    ? hands
    : `${time.getFullYear() === today.getFullYear() ? "" : `${time.getFullYear()}-`}${two(time.getMonth() + 1)}-${two(time.getDate())} ${hands}`;
}

/** Both parts of a duration that matter: `42 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`. */
export function duration(micros: number, language: Language): string {
  const [d, h, m, s] = language === "zh" ? ["天", "小时", "分", "秒"] : [" d", " h", " min", " s"];
  const gap = language === "zh" ? "" : " ";
  const alone = language === "zh" ? "分钟" : m;
  const seconds = Math.max(0, Math.round(micros / 1_000_000));
  if (seconds < 60) return `${seconds}${s}`;
  if (seconds < 600 && seconds % 60) return `${Math.floor(seconds / 60)}${m}${gap}${two(seconds % 60)}${s}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}${alone}`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)}${h}${minutes % 60 ? `${gap}${two(minutes % 60)}${m}` : ""}`;
  const days = Math.floor(minutes / 1440);
  const hours = Math.floor((minutes % 1440) / 60);
  return `${days}${d}${hours && days < 10 ? `${gap}${hours}${h}` : ""}`;
}

/** A countdown that keeps its width: `14:59`, `1:02:09`. */
export function countdown(micros: number): string {
  const seconds = Math.max(0, Math.ceil(micros / 1_000_000));
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** Pseudonyms are long hashes: their first ten characters tell two apart, the whole is in the title. */
export function shortKey(key: string): string {
  return /^[0-9a-z_-]{18,}$/i.test(key) ? `${key.slice(0, 10)}…` : key;
}
