import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, type ReactNode } from "react";

import { Problem, setCsrf, whenSignedOut } from "../api/client";
import { useSession } from "../api/queries";
import { storedLanguage } from "../i18n/dictionary";
import { useI18n } from "../i18n/I18n";
import { ChangePassword, SignIn } from "../pages/SignIn";
import { QueryState } from "../parts/States";

/** Nobody passes unsigned, and nobody keeps the first password. */
export function Gate({ children }: { children: ReactNode }) {
  const session = useSession();
  const queries = useQueryClient();
  const { language, choose } = useI18n();
  const greeted = useRef(false);
  useEffect(() => {
    whenSignedOut(() => void queries.resetQueries({ queryKey: ["session"] }));
  }, [queries]);
  const wanted = session.data?.language;
  useEffect(() => {
    if (greeted.current || storedLanguage() || (wanted !== "en" && wanted !== "zh")) return;
    greeted.current = true;
    if (wanted !== language) choose(wanted);
  }, [wanted, language, choose]);

  if (session.data) {
    setCsrf(session.data.csrf);
    return session.data.must_change ? <ChangePassword user={session.data.user} /> : children;
  }
  if (session.error instanceof Problem && session.error.status === 401) return <SignIn />;
  return (
    <main className="gate">
      <QueryState query={session} />
    </main>
  );
}
