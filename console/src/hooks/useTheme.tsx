import { createContext, use, useEffect, useMemo, useState, type ReactNode } from "react";

export type Choice = "system" | "light" | "dark";

const STORED = "tocsin.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function storedTheme(): Choice {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "system";
}

function isDark(choice: Choice): boolean {
  return choice === "dark" || (choice === "system" && system.matches);
}

export function applyTheme(choice: Choice): void {
  document.documentElement.dataset["theme"] = isDark(choice) ? "dark" : "light";
}

interface Theme {
  choice: Choice;
  dark: boolean;
  choose: (choice: Choice) => void;
}

const Context = createContext<Theme | null>(null);

export function ThemeProvider({ children }: { children: ReactNode }) {
  const [choice, setChoice] = useState<Choice>(storedTheme);
  const [dark, setDark] = useState(() => isDark(choice));
  useEffect(() => {
    const follow = () => {
      setDark(isDark(choice));
      applyTheme(choice);
    };
    follow();
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, [choice]);
  const value = useMemo<Theme>(
    () => ({
      choice,
      dark,
      choose: (next) => {
        localStorage.setItem(STORED, next);
        setChoice(next);
      },
    }),
    [choice, dark],
  );
  return <Context value={value}>{children}</Context>;
}

export function useTheme(): Theme {
  const value = use(Context);
  if (!value) throw new Error("useTheme outside of ThemeProvider");
  return value;
}
