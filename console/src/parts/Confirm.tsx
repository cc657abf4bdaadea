import { Button, Modal } from "antd";
import { createContext, use, useCallback, useState, type ReactNode } from "react";

import { useI18n } from "../i18n/I18n";
import { useNotices } from "./Notices";

export interface Question {
  title: string;
  /** Scope, money, duration: what the person should know before, one line each. */
  lines: { label: string; value: ReactNode }[];
  warning?: string;
  ok: string;
  danger?: boolean;
  /** Where set, a word of why is asked for. */
  note?: { label: string; placeholder: string; required?: boolean };
  run: (note: string) => Promise<unknown>;
}

const Context = createContext<((question: Question) => void) | null>(null);

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [question, setQuestion] = useState<Question | null>(null);
  const [open, setOpen] = useState(false);
  const ask = useCallback((next: Question) => {
    setQuestion(next);
    setOpen(true);
  }, []);
  return (
    <Context value={ask}>
      {children}
      <Modal
        open={open}
        onCancel={() => setOpen(false)}
        title={question?.title}
        footer={null}
        width={480}
        destroyOnHidden
        afterClose={() => setQuestion(null)}
      >
        {question ? <Body question={question} close={() => setOpen(false)} /> : null}
      </Modal>
    </Context>
  );
}

function Body({ question, close }: { question: Question; close: () => void }) {
  const { t } = useI18n();
  const { complain } = useNotices();
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const missing = question.note?.required === true && note.trim() === "";
  const run = async () => {
    if (missing || busy) return;
    setBusy(true);
    try {
      await question.run(note.trim());
      close();
    } catch (error) {
      complain(error);
      setBusy(false);
      close();
    }
  };
  return (
    <form
      className="confirm"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <dl className="facts">
        {question.lines.map((line, index) => (
          <div key={index}>
            <dt>{line.label}</dt>
            <dd>{line.value}</dd>
          </div>
        ))}
      </dl>
      {question.warning ? <p className="warning">{question.warning}</p> : null}
      {question.note ? (
        <label className="field">
          <span>{question.note.label}</span>
          <input
            className="input"
            autoFocus
            value={note}
            maxLength={500}
            placeholder={question.note.placeholder}
            onChange={(event) => setNote(event.target.value)}
          />
        </label>
      ) : null}
      <div className="buttons">
        <Button onClick={close}>{t("cancel")}</Button>
        <Button
          type="primary"
          htmlType="submit"
          danger={question.danger ?? false}
          loading={busy}
          disabled={missing}
          autoFocus={!question.note}
          data-confirm
        >
          {question.ok}
        </Button>
      </div>
    </form>
  );
}

export function useConfirm(): (question: Question) => void {
  const ask = use(Context);
  if (!ask) throw new Error("useConfirm outside of ConfirmProvider");
  return ask;
}
