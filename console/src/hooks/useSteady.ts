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

export interface Read<T> {
  items: T[] | undefined;
  /** Whether the items answer the filters that are set, not those before. */
  settled: boolean;
  pages: number;
}

/**
 * Rows never move under the cursor: known rows change in place, new ones wait until `show`. A new `scope` (filters)
 * starts over, and so does an empty list.
 */
export function useSteady<T extends { id: string }>(read: Read<T>, scope: string): Steady<T> {
  const { items, settled, pages: grown } = read;
  const memory = useRef({ scope: "", grown: 0, order: [] as string[], last: new Map<string, T>() });
  const [, again] = useState(0);
  const kept = memory.current;
  const adopt = () => {
    kept.order = items?.map((item) => item.id) ?? [];
  };
  // While the answer to new filters is on its way, the rows of the old ones stay as they are.
  if (kept.scope !== scope && settled) {
    kept.scope = scope;
    kept.order = [];
    kept.last.clear();
  }
  const present = new Map(items?.map((item) => [item.id, item]));
  if (kept.order.length === 0) adopt();
  else if (settled && kept.grown < grown) {
    // Older rows that the reader asked for go to the end; they push nothing away.
    const before = new Set(kept.order);
    const ids = [...present.keys()];
    kept.order.push(...ids.slice(ids.findLastIndex((id) => before.has(id)) + 1));
  }
  if (settled) kept.grown = grown;
  const shown = new Set(kept.order);
  for (const [id, item] of present) if (shown.has(id)) kept.last.set(id, item);
  return {
    rows: kept.order.flatMap((id) => kept.last.get(id) ?? []),
    fresh: [...present.keys()].filter((id) => !shown.has(id)).length,
    gone: new Set(settled ? kept.order.filter((id) => !present.has(id)) : []),
    show: () => {
      adopt();
      again((count) => count + 1);
    },
  };
}

interface Paged<T> {
  data: { pages: { items: T[] }[] } | undefined;
  isPlaceholderData: boolean;
}

export function readOf<T>(query: Paged<T>): Read<T> {
  const pages = query.data?.pages;
  return {
    items: pages?.flatMap((page) => page.items),
    settled: pages !== undefined && !query.isPlaceholderData,
    pages: pages?.length ?? 0,
  };
}
