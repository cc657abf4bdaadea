import type { ConfigProviderProps } from "antd";
import enUS from "antd/locale/en_US";
import zhCN from "antd/locale/zh_CN";

import type { Language } from "./dictionary";

export function antdLocale(language: Language): NonNullable<ConfigProviderProps["locale"]> {
  return language === "zh" ? zhCN : enUS;
}
