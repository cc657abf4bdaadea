import { createContext, lazy, Suspense, use, useCallback, useEffect, useState, type ReactNode } from "react";

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

const load = () => import("./ConfirmDialog");
const ConfirmDialog = lazy(load);

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [question, setQuestion] = useState<Question | null>(null);
  const close = useCallback(() => setQuestion(null), []);
  useEffect(() => {
    // Not in the first load, but there before anyone asks: the line may be down by then.
    const timer = window.setTimeout(() => void load(), 1500);
    return () => window.clearTimeout(timer);
  }, []);
  return (
    <Context value={setQuestion}>
      {children}
      <Suspense fallback={null}>{question ? <ConfirmDialog question={question} close={close} /> : null}</Suspense>
    </Context>
  );
}

export function useConfirm(): (question: Question) => void {
  const ask = use(Context);
  if (!ask) throw new Error("useConfirm outside of ConfirmProvider");
  return ask;
}
