import { useRef } from "react";

/** Five minutes at one look in two seconds. */
const MOST = 150;

export type Trail = [number, number | null][];

/** The last minutes of a few numbers, kept while the page is open: one point for each time that `at` changes. */
export function useTrail<K extends string>(at: number, values: Record<K, number>): Record<K, Trail> {
  const kept = useRef({ at: 0, trails: {} as Record<K, Trail> });
  if (kept.current.at !== at) {
    const trails = { ...kept.current.trails };
    for (const name of Object.keys(values) as K[]) trails[name] = [...(trails[name] ?? []), [at, values[name]] as [number, number]].slice(-MOST);
    kept.current = { at, trails };
  }
  return kept.current.trails;
}
