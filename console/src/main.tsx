import "./styles/fonts.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";

import { createRoot } from "react-dom/client";

import { App } from "./App";
import { firstLanguage, loadDictionary } from "./i18n/dictionary";
import { applyTheme, storedTheme } from "./hooks/useTheme";

applyTheme(storedTheme());
const language = firstLanguage();
const dictionary = await loadDictionary(language);
const root = document.getElementById("root");
if (root) createRoot(root).render(<App language={language} dictionary={dictionary} />);
