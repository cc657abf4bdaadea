import type { PlaneView } from "../api/types";
import { bytes, count, duration, exact, short } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Numbers, type Line } from "./Numbers";

/** What keeps the events: journal, snapshots, history. */
export function Keeping({ view }: { view: PlaneView }) {
  const { t, language } = useI18n();
  const { journal, snapshots, history } = view;
  const number = (value: number) => count(value, language);
  const size = (value: number) => bytes(value, language);
  const lines: Line[] = [{ name: t("plane.journal_seq"), value: exact(journal.last_seq, language) }];
  if (journal.segments !== null) {
    lines.push(
      { name: t("plane.journal"), value: size(journal.bytes), of: t("plane.of", { most: size(journal.most_bytes) }) },
      { name: t("plane.segments"), value: number(journal.segments), of: t("plane.from", { seq: exact(journal.first_seq, language) }) },
    );
  }
  if (journal.free_bytes !== null) lines.push({ name: t("plane.free"), value: size(journal.free_bytes) });
  if (snapshots) {
    lines.push(
      {
        name: t("plane.snapshot"),
        value: snapshots.age_s === null ? "–" : t("time.ago", { duration: duration(snapshots.age_s * 1_000_000, language) }),
        of: t("plane.every", { span: duration(snapshots.every_s * 1_000_000, language) }),
      },
      { name: t("plane.snapshot_behind"), value: number(snapshots.behind) },
      {
        name: t("plane.snapshot_pause"),
        value: snapshots.taken ? short(snapshots.pause_ms / 1000, language) : "–",
        of: snapshots.bytes ? size(snapshots.bytes) : undefined,
      },
      { name: t("plane.snapshot_failed"), value: number(snapshots.failed), of: t("plane.of_all", { most: number(snapshots.taken + snapshots.failed) }) },
    );
  }
  if (history) {
    lines.push(
      { name: t("plane.history"), value: number(history.rows), of: t("plane.files", { files: number(history.files) }) },
      { name: t("plane.history_behind"), value: number(history.behind) },
    );
  }
  return <Numbers id="keeping" title={t("plane.keeping")} lines={lines} />;
}
