import { createContext, use, useCallback, useEffect, useMemo, useState, type ReactNode } from "react";

import type { Text } from "../api/types";
import { loadDictionary, storeLanguage, type Dictionary, type Key, type Language } from "./dictionary";

export type Values = Record<string, string | number>;

export interface I18n {
  language: Language;
  /** The text of a key with its `{name}` places filled; `key.one` where there is one and `count` is 1. */
  t: (key: Key, values?: Values) => string;
  /** The word of a closed list (`phase.open`); a word that the dictionary lacks is shown as it is. */
  word: (list: string, word: string) => string;
  /** The side of a text from the server that the reader wants. */
  text: (text: Text | undefined) => string;
  choose: (language: Language) => void;
}

const Context = createContext<I18n | null>(null);

function fill(template: string, values: Values | undefined): string {
  return values ? template.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place)) : template;
}

export function I18nProvider(props: { first: Language; dictionary: Dictionary; children: ReactNode }) {
  const [state, setState] = useState({ language: props.first, dictionary: props.dictionary });
  const choose = useCallback((language: Language) => {
    storeLanguage(language);
    void loadDictionary(language).then((dictionary) => setState({ language, dictionary }));
  }, []);
  useEffect(() => {
    document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  }, [state.language]);
  const value = useMemo<I18n>(() => {
    const words: Partial<Record<string, string>> = state.dictionary;
    return {
      language: state.language,
      // A key without text is shown so that nobody, and no test, can overlook it.
      t: (key, values) => fill((values?.["count"] === 1 && words[`${key}.one`]) || (words[key] ?? `⟦${key}⟧`), values),
      word: (list, word) => words[`${list}.${word}`] ?? word,
      text: (text) => (text ? text[state.language] || text.en || text.zh : ""),
      choose,
    };
  }, [state, choose]);
  return <Context value={value}>{props.children}</Context>;
}

export function useI18n(): I18n {
  const value = use(Context);
  if (!value) throw new Error("useI18n outside of I18nProvider");
  return value;
}
