import { useId, useRef } from "react";

import { useI18n } from "../i18n/I18n";
import { Icon } from "./Icon";

interface Props {
  label: string;
  value: string;
  change: (value: string) => void;
  rows: number;
  readOnly?: boolean;
  /** What is wrong and where, line and column from 1. */
  error?: { message: string; line: number; column: number } | null;
}

/** Text for machines: monospaced, with the place of an error pointed at under its own line. */
export function Editor({ label, value, change, rows, readOnly, error }: Props) {
  const { t } = useI18n();
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const line = error ? (value.split("\n")[error.line - 1] ?? "") : "";
  const start = error ? Math.max(0, error.column - 1 - 36) : 0;
  const go = () => {
    if (!error || !area.current) return;
    const lines = value.split("\n");
    const at = lines.slice(0, error.line - 1).reduce((sum, text) => sum + text.length + 1, 0) + error.column - 1;
    area.current.focus();
    area.current.setSelectionRange(at, Math.min(at + 1, value.length));
  };
  return (
    <div className={`editor${error ? " wrong" : ""}`}>
      <textarea
        ref={area}
        aria-label={label}
        aria-invalid={Boolean(error)}
        aria-describedby={error ? id : undefined}
        value={value}
        rows={rows}
        readOnly={readOnly ?? false}
        spellCheck={false}
        autoCapitalize="off"
        onChange={(event) => change(event.target.value)}
      />
      {error ? (
        <div className="pointer" id={id} role="alert">
          <button type="button" className="bare" onClick={go}>
            <Icon name="incident" /> {t("editor.at", { line: error.line, column: error.column })}
          </button>
          <span>{error.message}</span>
          <pre aria-hidden="true">
            {line.slice(start, start + 72)}
            {"\n"}
            {" ".repeat(Math.max(0, error.column - 1 - start))}^
          </pre>
        </div>
      ) : null}
    </div>
  );
}
