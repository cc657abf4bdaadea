import { useEffect } from "react";

/**
 * Keyboard first, on the document itself: a row is any element with `data-row`, what a key does to it is the button
 * with `data-act` beside it. So every list has the same keys, and focus is the cursor.
 */
const ACTS: Record<string, string> = { a: "approve", u: "undo", e: "label" };

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function dialogOpen(): boolean {
  return [...document.querySelectorAll<HTMLElement>('[role="dialog"]')].some((dialog) => dialog.offsetParent !== null);
}

function move(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")].filter((row) => row.offsetParent !== null);
  const here = rows.findIndex((row) => row === document.activeElement || row.parentElement?.contains(document.activeElement));
  const next = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + step))];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

function act(name: string): boolean {
  const row = document.activeElement?.closest("[data-rowbox]");
  const button =
    row?.querySelector<HTMLButtonElement>(`[data-act="${name}"]`) ??
    (row ? null : document.querySelector<HTMLButtonElement>(`main [data-act="${name}"]`));
  button?.click();
  return Boolean(button);
}

export function useKeyboard(toggleHelp: () => void, go: (path: string) => void): void {
  useEffect(() => {
    let leader = 0;
    const places: Record<string, string> = {
      o: "/",
      i: "/incidents",
      v: "/verdicts",
      d: "/dead-letters",
      p: "/automation",
      r: "/rules",
      s: "/plane",
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape" && typing(event.target)) {
        (event.target as HTMLElement).blur();
        return;
      }
      if (typing(event.target)) return;
      if (event.key === "?") return void (event.preventDefault(), toggleHelp());
      if (dialogOpen()) return;
      const place = places[event.key];
      if (event.timeStamp - leader < 1200 && place) {
        leader = 0;
        event.preventDefault();
        return go(place);
      }
      if (event.key === "g") {
        leader = event.timeStamp;
      } else if (event.key === "j" || event.key === "k") {
        event.preventDefault();
        move(event.key === "j" ? 1 : -1);
      } else if (event.key === "/") {
        event.preventDefault();
        const search = document.querySelector<HTMLInputElement>("main input[data-search], main [data-search] input");
        search?.focus();
        search?.select();
      } else if (event.key === "n") {
        document.querySelector<HTMLButtonElement>("main [data-fresh]")?.click();
      } else {
        const name = ACTS[event.key];
        if (name && act(name)) event.preventDefault();
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [toggleHelp, go]);
}
