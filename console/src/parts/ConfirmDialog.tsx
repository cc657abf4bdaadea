import { Button, Modal } from "antd";
import { useState } from "react";

import { useI18n } from "../i18n/I18n";
import type { Question } from "./Confirm";
import { useNotices } from "./Notices";

/** The question with its scope and money; Enter says yes, Escape no. */
export default function ConfirmDialog({ question, close }: { question: Question | null; close: () => void }) {
  return (
    <Modal open={question !== null} onCancel={close} title={question?.title} footer={null} width={480} destroyOnHidden>
      {question ? <Body question={question} close={close} /> : null}
    </Modal>
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
