import { useQueryClient } from "@tanstack/react-query";
import { Button, Drawer } from "antd";
import { useState } from "react";

import { Problem, send } from "../api/client";
import type { DeadLetter } from "../api/types";
import { useI18n } from "../i18n/I18n";
import { useConfirm } from "../parts/Confirm";
import { Icon } from "../parts/Icon";
import { WordMark } from "../parts/Mark";
import { useNotices, useProblemText } from "../parts/Notices";
import { Editor } from "../parts/Editor";
import { Clock } from "../parts/Time";

function pretty(document: string): string {
  try {
    return JSON.stringify(JSON.parse(document), null, 2);
  } catch {
    return document;
  }
}

/** Where JSON breaks, as line and column from 1; null where the engine does not say. */
function parse(text: string): { value: unknown } | { message: string; line: number; column: number } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const lineColumn = /line (\d+) column (\d+)/.exec(message);
    if (lineColumn) return { message, line: Number(lineColumn[1]), column: Number(lineColumn[2]) };
    const position = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    const before = text.slice(0, position).split("\n");
    return { message, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
  }
}

export function LetterDrawer({ letter, close }: { letter: DeadLetter; close: () => void }) {
  const { t, word } = useI18n();
  const queries = useQueryClient();
  const { say } = useNotices();
  const ask = useConfirm();
  const problemText = useProblemText();
  const [text, setText] = useState(() => pretty(letter.document));
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const parsed = parse(text);
  const waiting = (letter.state) === "waiting";

  const after = () =>
    Promise.all(["dead-letters", "dead-letter"].map((key) => queries.invalidateQueries({ queryKey: [key] })));
  const drive = async () => {
    if (!("value" in parsed)) return;
    setBusy(true);
    setTrouble("");
    try {
      await send("POST", `/v1/dead-letters/${encodeURIComponent(letter.id)}/retry`, { document: parsed.value });
      say(t("letters.did_retry"));
      close();
    } catch (error) {
      setTrouble(error instanceof Problem ? problemText(error) : String(error));
    } finally {
      setBusy(false);
      await after();
    }
  };
  const discard = () =>
    ask({
      title: t("letters.confirm_discard"),
      lines: [
        { label: t("letters.reason"), value: letter.reason },
        { label: t("confirm.means"), value: t("letters.discard_means") },
      ],
      ok: t("letters.discard"),
      danger: true,
      run: async () => {
        try {
          await send("POST", `/v1/dead-letters/${encodeURIComponent(letter.id)}/discard`);
          say(t("letters.did_discard"));
          close();
        } finally {
          await after();
        }
      },
    });

  return (
    <Drawer open onClose={close} title={t("letters.title")} size={620} rootClassName="drawer">
      <div className="why">
        <p className="problem-line" role="note">
          <Icon name="incident" />
          <span>{letter.reason}</span>
        </p>
        <dl className="numbers">
          <div>
            <dt>{t("letters.state")}</dt>
            <dd>
              <WordMark list="letter" value={letter.state} />
            </dd>
          </div>
          <div>
            <dt>{t("letters.code")}</dt>
            <dd>
              {word("code", letter.code)} {letter.field ? <code>{letter.field}</code> : null}
            </dd>
          </div>
          <div>
            <dt>{t("letters.received")}</dt>
            <dd>
              <Clock time={letter.received} /> <code className="quiet">{letter.door}</code>
            </dd>
          </div>
        </dl>
        <h3>{t("letters.document")}</h3>
        <Editor
          label={t("letters.document")}
          value={text}
          change={setText}
          rows={16}
          readOnly={!waiting}
          {...("value" in parsed ? {} : { error: parsed })}
        />
        <p className="quiet small">{t("letters.removed")}</p>
        {trouble ? (
          <p className="form-error" role="alert">
            <Icon name="incident" />
            {trouble}
          </p>
        ) : null}
        {waiting ? (
          <div className="buttons">
            <Button onClick={discard}>{t("letters.discard")}</Button>
            <Button type="primary" loading={busy} disabled={!("value" in parsed)} onClick={() => void drive()} data-act="retry">
              <Icon name="undo" /> {t("letters.retry")}
            </Button>
          </div>
        ) : null}
      </div>
    </Drawer>
  );
}
