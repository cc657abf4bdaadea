import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** One word of the page's state, kept in the address; the default is left out of it. */
export function useQueryState(name: string, fallback = ""): [string, (value: string) => void] {
  const [params, setParams] = useSearchParams();
  const value = params.get(name) ?? fallback;
  const set = useCallback(
    (next: string) => {
      setParams(
        (before) => {
          const after = new URLSearchParams(before);
          if (next === fallback) after.delete(name);
          else after.set(name, next);
          return after;
        },
        { replace: true },
      );
    },
    [setParams, name, fallback],
  );
  return [value, set];
}
