import type en from "./en.json";

export type Key = keyof typeof en;
export type Dictionary = Record<Key, string>;
export type Language = "en" | "zh";

const STORED = "tocsin.language";

const LOADERS: Record<Language, () => Promise<Dictionary>> = {
  en: async () => (await import("./en.json")).default,
  zh: async () => (await import("./zh.json")).default,
};

export function loadDictionary(language: Language): Promise<Dictionary> {
  return LOADERS[language]();
}

export function storedLanguage(): Language | undefined {
  const stored = localStorage.getItem(STORED);
  return stored === "en" || stored === "zh" ? stored : undefined;
}

export function storeLanguage(language: Language): void {
  localStorage.setItem(STORED, language);
}

/** The language before anyone signed in: what was chosen here last, else the browser's. */
export function firstLanguage(): Language {
  return storedLanguage() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
}
