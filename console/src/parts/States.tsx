import { Button } from "antd";
import type { ReactNode } from "react";

import { useI18n } from "../i18n/I18n";
import { Icon, type IconName } from "./Icon";
import { useProblemText } from "./Notices";

/** Nothing here, and what that means. */
export function Empty({ icon, children }: { icon: IconName; children: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} />
      <p>{children}</p>
    </div>
  );
}

interface Loaded {
  isPending: boolean;
  isError: boolean;
  error: Error | null;
  data: unknown;
  dataUpdatedAt: number;
  refetch: () => unknown;
}

/** The state of a query above its data: first load, failed without data, or data that is old because the last read failed. */
export function QueryState({ query }: { query: Loaded }) {
  const { t } = useI18n();
  const problemText = useProblemText();
  if (query.isError) {
    return (
      <div className="problem" role="alert">
        <Icon name="plug" />
        <p>
          {problemText(query.error)} {query.data !== undefined ? t("stale.shown") : null}
        </p>
        <Button size="small" onClick={() => void query.refetch()}>
          {t("retry")}
        </Button>
      </div>
    );
  }
  if (query.isPending) {
    return (
      <div className="skeleton" role="status">
        <span className="visually-hidden">{t("loading")}</span>
        <i />
        <i />
        <i />
      </div>
    );
  }
  return null;
}

/** New rows wait here until they are called for. */
export function Fresh({ count, show }: { count: number; show: () => void }) {
  const { t } = useI18n();
  if (count === 0) return null;
  return (
    <button type="button" className="fresh" data-fresh onClick={show}>
      <Icon name="up" />
      {t("list.fresh", { count })}
      <kbd>n</kbd>
    </button>
  );
}

export function More({ query }: { query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown } }) {
  const { t } = useI18n();
  if (!query.hasNextPage) return null;
  return (
    <div className="more">
      <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {t("list.more")}
      </Button>
    </div>
  );
}
