import { createContext, use, useCallback, useMemo, useRef, useState, type ReactNode } from "react";

import { Problem } from "../api/client";
import { useI18n } from "../i18n/I18n";
import { Icon } from "./Icon";

interface Notice {
  id: number;
  tone: "good" | "bad";
  text: string;
}

interface Notices {
  say: (text: string) => void;
  /** Says what went wrong and what to do about it. */
  complain: (error: unknown) => void;
}

const Context = createContext<Notices | null>(null);
const GOOD_MS = 5000;
const BAD_MS = 12000;

export function useProblemText(): (error: unknown) => string {
  const { t } = useI18n();
  return useCallback(
    (error: unknown) => {
      if (!(error instanceof Problem)) return String(error);
      const what = [error.field, error.message].filter(Boolean).join(": ");
      if (error.status === 0) return t("problem.offline");
      if (error.status === 403) return t("problem.forbidden", { what });
      if (error.status === 404) return t("problem.missing");
      if (error.status === 409) return t("problem.conflict", { what });
      if (error.status === 429) return t("problem.busy", { seconds: error.retryAfter || 1 });
      if (error.status >= 500) return t("problem.server", { what });
      return what;
    },
    [t],
  );
}

export function NoticeProvider({ children }: { children: ReactNode }) {
  const { t } = useI18n();
  const problemText = useProblemText();
  const [notices, setNotices] = useState<Notice[]>([]);
  const last = useRef(0);
  const drop = useCallback((id: number) => setNotices((all) => all.filter((notice) => notice.id !== id)), []);
  const add = useCallback(
    (tone: Notice["tone"], text: string) => {
      const id = (last.current += 1);
      setNotices((all) => [...all.filter((notice) => notice.text !== text).slice(-2), { id, tone, text }]);
      window.setTimeout(() => drop(id), tone === "good" ? GOOD_MS : BAD_MS);
    },
    [drop],
  );
  const value = useMemo<Notices>(
    () => ({ say: (text) => add("good", text), complain: (error) => add("bad", problemText(error)) }),
    [add, problemText],
  );
  return (
    <Context value={value}>
      {children}
      <div className="notices" role="status" aria-live="polite">
        {notices.map((notice) => (
          <div key={notice.id} className={`notice ${notice.tone}`}>
            <Icon name={notice.tone === "good" ? "check" : "incident"} />
            <span>{notice.text}</span>
            <button type="button" className="bare" aria-label={t("close")} onClick={() => drop(notice.id)}>
              <Icon name="cross" />
            </button>
          </div>
        ))}
      </div>
    </Context>
  );
}

export function useNotices(): Notices {
  const value = use(Context);
  if (!value) throw new Error("useNotices outside of NoticeProvider");
  return value;
}
