import type { PlaneView } from "../api/types";
import { count, duration } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Numbers, type Line } from "./Numbers";

const MICROS = 1_000_000;

/** How far back the state reaches, and how much it holds. */
export function Reach({ view }: { view: PlaneView }) {
  const { t, word, language } = useI18n();
  const { ids, windows } = view;
  const number = (value: number) => count(value, language);
  const span = (seconds: number) => duration(seconds * MICROS, language);
  const lines: Line[] = [];
  if (windows) {
    lines.push(
      { name: t("plane.span"), value: span(windows.span_s), of: t("plane.of_declared", { most: span(windows.declared_s) }) },
      { name: t("plane.log"), value: number(windows.log_events), of: t("plane.of", { most: number(windows.log_capacity) }) },
      ...Object.entries(windows.keys).map(([entity, keys]) => ({
        name: t("plane.keys", { entity: word("entity", entity) }),
        value: number(keys),
      })),
    );
  }
  if (ids) {
    lines.push(
      { name: t("plane.ids"), value: number(ids.count), of: t("plane.of", { most: number(ids.capacity) }) },
      { name: t("plane.ids_span"), value: span(ids.span_s), of: t("plane.of_declared", { most: span(ids.declared_s) }) },
      { name: t("plane.ids_lost"), value: number(ids.forgotten_early) },
    );
  }
  lines.push(
    { name: t("plane.deadlines"), value: number(view.deadlines_pending) },
    { name: t("plane.late"), value: number(view.flow.late) },
  );
  if (windows?.warming_until) {
    // At the end: it comes while windows catch up, and must move nothing.
    lines.push({ name: t("plane.warming"), value: number(windows.warming_seq), of: t("plane.of_all", { most: number(windows.warming_until) }) });
  }
  return <Numbers id="reach" title={t("plane.reach")} lines={lines} />;
}
