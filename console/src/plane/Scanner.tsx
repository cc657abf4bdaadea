import type { PlaneView } from "../api/types";
import { count, percent } from "../format/format";
import { useI18n } from "../i18n/I18n";
import { Numbers } from "./Numbers";

/** How many lines the scanner's kernel leaves to the slow door, and why; by name, so that no cause moves. */
export function Scanner({ scanner }: { scanner: NonNullable<PlaneView["scanner"]> }) {
  const { t, word, language } = useI18n();
  const causes = scanner.causes.toSorted((one, other) => (one.cause < other.cause ? -1 : 1));
  return (
    <Numbers
      id="scanner"
      title={t("plane.scanner")}
      lines={[
        { name: t("plane.lines"), value: count(scanner.lines, language) },
        { name: t("plane.slow"), value: count(scanner.slow, language), of: t("plane.slow_share", { share: percent(scanner.share, language) }) },
        ...causes.map((one) => ({ name: word("cause", one.cause), value: count(one.lines, language) })),
      ]}
    />
  );
}
