import { theme, type ThemeConfig } from "antd";

const FONT =
  '"Inter Variable", system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans SC", "Noto Sans CJK SC", sans-serif';

/** The same colours as tokens.css, for the parts that Ant Design draws. */
export function antdTheme(dark: boolean): ThemeConfig {
  return {
    algorithm: dark ? theme.darkAlgorithm : theme.defaultAlgorithm,
    token: {
      fontFamily: FONT,
      fontSize: 13,
      borderRadius: 6,
      controlHeight: 32,
      controlHeightSM: 26,
      wireframe: false,
      // What is asked for is there at once: nobody waits for a drawer at night.
      motion: false,
      colorPrimary: dark ? "#3d7bea" : "#1b57c4",
      colorLink: dark ? "#8ab4ff" : "#1b57c4",
      colorError: dark ? "#ff9a91" : "#b3261e",
      colorBgBase: dark ? "#0e1115" : "#ffffff",
      colorBgContainer: dark ? "#161b21" : "#ffffff",
      colorBgElevated: dark ? "#1b2128" : "#ffffff",
      colorBgLayout: dark ? "#0e1115" : "#f4f5f7",
      colorText: dark ? "#e7eaee" : "#14181d",
      colorTextSecondary: dark ? "#aab3be" : "#46505b",
      colorTextTertiary: dark ? "#8f99a6" : "#5d6874",
      colorTextPlaceholder: dark ? "#8f99a6" : "#67717d",
      colorTextDescription: dark ? "#aab3be" : "#46505b",
      colorTextDisabled: dark ? "#818b97" : "#6b7580",
      colorBorder: dark ? "#343d48" : "#ccd2d9",
      colorBorderSecondary: dark ? "#242b34" : "#e4e7eb",
    },
    components: {
      Segmented: { trackBg: dark ? "#0e1115" : "#eceef1", itemColor: dark ? "#aab3be" : "#46505b" },
      Button: { primaryShadow: "none", defaultShadow: "none", dangerShadow: "none", fontWeight: 500, dangerColor: dark ? "#1a0505" : "#ffffff" },
    },
  };
}
