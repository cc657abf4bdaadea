import { useRef, useState } from "react";

export interface Steady<T> {
  /** Rows in the order in which they were first shown; each as new as the server told. */
  rows: T[];
  /** Rows that wait behind the button. */
  fresh: number;
  /** Ids of rows that are shown but no longer pass the filter. */
  gone: ReadonlySet<string>;
  show: () => void;
}

/**
 * Rows never move under the cursor: known rows change in place, new ones wait until `show`. A new `scope` (filters)
 * starts over, and so does an empty list.
 */
export function useSteady<T extends { id: string }>(items: T[] | undefined, scope: string, grown: number): Steady<T> {
  const memory = useRef({ scope: "", grown: 0, order: [] as string[], last: new Map<string, T>() });
  const [, again] = useState(0);
  const kept = memory.current;
  const adopt = () => {
    kept.order = (items ?? []).map((item) => item.id);
  };
  if (kept.scope !== scope) {
    kept.scope = scope;
    kept.order = [];
    kept.last.clear();
  }
  const present = new Map((items ?? []).map((item) => [item.id, item]));
  for (const [id, item] of present) kept.last.set(id, item);
  if (kept.order.length === 0) adopt();
  else if (kept.grown < grown) {
    // Older rows that the reader asked for go to the end; they push nothing away.
    const shown = new Set(kept.order);
    const lastShown = (items ?? []).findLastIndex((item) => shown.has(item.id));
    kept.order.push(...(items ?? []).slice(lastShown + 1).map((item) => item.id));
  }
  kept.grown = grown;
  const shown = new Set(kept.order);
  return {
    rows: kept.order.flatMap((id) => kept.last.get(id) ?? []),
    fresh: items ? items.filter((item) => !shown.has(item.id)).length : 0,
    gone: new Set(items ? kept.order.filter((id) => !present.has(id)) : []),
    show: () => {
      adopt();
      again((count) => count + 1);
    },
  };
}
