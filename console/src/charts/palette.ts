import { useTheme } from "../hooks/useTheme";

/** The colours of tokens.css for drawings, which cannot read its variables. */
export function usePalette(): Record<"ink" | "ink2" | "line" | "panel" | "accent" | "soft" | "alarm" | "good", string> {
  const { dark } = useTheme();
  return dark
    ? { ink: "#e7eaee", ink2: "#929ca8", line: "#242b34", panel: "#1b2128", accent: "#8ab4ff", soft: "#8ab4ff22", alarm: "#ff9a91", good: "#76d6a2" }
    : { ink: "#14181d", ink2: "#5d6874", line: "#e4e7eb", panel: "#ffffff", accent: "#1b57c4", soft: "#1b57c41a", alarm: "#b3261e", good: "#11673f" };
}
