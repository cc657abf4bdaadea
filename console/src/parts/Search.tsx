import { Input } from "antd";
import { useEffect, useRef, useState } from "react";

import { useI18n } from "../i18n/I18n";

const SETTLE_MS = 250;

/** The page's search: `/` brings the cursor here; the address follows shortly after the typing. */
export function Search({ value, change, hint }: { value: string; change: (value: string) => void; hint: string }) {
  const { t } = useI18n();
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    if (value !== sent.current) {
      sent.current = value;
      setTyped(value);
    }
  }, [value]);
  useEffect(() => {
    if (typed === sent.current) return undefined;
    const timer = window.setTimeout(() => {
      sent.current = typed;
      change(typed);
    }, SETTLE_MS);
    return () => window.clearTimeout(timer);
  }, [typed, change]);
  return (
    <div className="search" data-search role="search">
      <Input
        allowClear
        value={typed}
        placeholder={hint}
        aria-label={t("search")}
        suffix={typed ? null : <kbd>/</kbd>}
        onChange={(event) => setTyped(event.target.value)}
      />
    </div>
  );
}
