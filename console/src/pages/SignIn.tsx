import { useQueryClient } from "@tanstack/react-query";
import { Button } from "antd";
import { useState, type FormEvent, type ReactNode } from "react";

import { Problem, send, setCsrf } from "../api/client";
import type { SessionView } from "../api/types";
import { useI18n } from "../i18n/I18n";
import { Icon } from "../parts/Icon";
import { useProblemText } from "../parts/Notices";
import { LanguageSwitch, ThemeSwitch } from "../shell/Switches";

const SHORTEST = 12;

function Card({ title, lead, children }: { title: string; lead: string; children: ReactNode }) {
  return (
    <main className="gate">
      <div className="gate-card">
        <div className="gate-brand">
          <span className="brandmark">
            <Icon name="bell" />
          </span>
          <span>Tocsin</span>
        </div>
        <h1>{title}</h1>
        <p className="quiet">{lead}</p>
        {children}
        <div className="gate-switches">
          <LanguageSwitch />
          <ThemeSwitch />
        </div>
      </div>
    </main>
  );
}

function Trouble({ text }: { text: string }) {
  return text ? (
    <p className="form-error" role="alert">
      <Icon name="incident" />
      {text}
    </p>
  ) : null;
}

export function SignIn() {
  const { t } = useI18n();
  const queries = useQueryClient();
  const problemText = useProblemText();
  const [user, setUser] = useState("admin");
  const [password, setPassword] = useState("");
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setTrouble("");
    try {
      const session = await send<SessionView>("POST", "/v1/session", { user: user.trim(), password });
      setCsrf(session.csrf);
      queries.setQueryData(["session"], session);
    } catch (error) {
      setTrouble(error instanceof Problem && error.status === 401 ? t("signin.wrong") : problemText(error));
      setBusy(false);
    }
  };
  return (
    <Card title={t("signin.title")} lead={t("signin.lead")}>
      <form onSubmit={(event) => void submit(event)}>
        <label className="field">
          <span>{t("signin.user")}</span>
          <input className="input" name="user" autoComplete="username" value={user} onChange={(event) => setUser(event.target.value)} />
        </label>
        <label className="field">
          <span>{t("signin.password")}</span>
          <input
            type="password"
            className="input"
            name="password"
            autoComplete="current-password"
            autoFocus
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        <Trouble text={trouble} />
        <Button type="primary" htmlType="submit" block loading={busy} disabled={!user || !password}>
          {t("signin.go")}
        </Button>
        <p className="quiet small">{t("signin.first")}</p>
      </form>
    </Card>
  );
}

export function ChangePassword({ user }: { user: string }) {
  const { t } = useI18n();
  const queries = useQueryClient();
  const problemText = useProblemText();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (next !== again) return setTrouble(t("password.differ"));
    setBusy(true);
    setTrouble("");
    try {
      await send("POST", "/v1/session/password", { old, new: next });
      await queries.resetQueries({ queryKey: ["session"] });
    } catch (error) {
      setTrouble(problemText(error));
      setBusy(false);
    }
  };
  return (
    <Card title={t("password.title")} lead={t("password.lead", { user })}>
      <form onSubmit={(event) => void submit(event)}>
        <input type="text" name="username" autoComplete="username" value={user} readOnly hidden />
        <label className="field">
          <span>{t("password.old")}</span>
          <input
            type="password"
            className="input"
            name="old"
            autoComplete="current-password"
            autoFocus
            value={old}
            onChange={(event) => setOld(event.target.value)}
          />
        </label>
        <label className="field">
          <span>{t("password.new", { shortest: SHORTEST })}</span>
          <input
            type="password"
            className="input"
            name="new"
            autoComplete="new-password"
            value={next}
            onChange={(event) => setNext(event.target.value)}
          />
        </label>
        <label className="field">
          <span>{t("password.again")}</span>
          <input
            type="password"
            className="input"
            name="again"
            autoComplete="new-password"
            value={again}
            onChange={(event) => setAgain(event.target.value)}
          />
        </label>
        <Trouble text={trouble} />
        <Button type="primary" htmlType="submit" block loading={busy} disabled={!old || next.length < SHORTEST || !again}>
          {t("password.go")}
        </Button>
      </form>
    </Card>
  );
}
