import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import type { Notice } from "./types";

export interface Live {
  state: "connecting" | "live" | "reconnecting";
  /** Milliseconds since the epoch, when the connection was lost; 0 while it stands. */
  since: number;
}

let live: Live = { state: "connecting", since: 0 };
const readers = new Set<() => void>();

function become(state: Live["state"]): void {
  if (state === live.state) return;
  live = { state, since: state === "reconnecting" ? Date.now() : 0 };
  for (const reader of readers) reader();
}

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  return () => readers.delete(reader);
}

export function useLive(): Live {
  return useSyncExternalStore(subscribe, () => live);
}

/** What a topic of the feed makes old. */
const KEYS: Record<string, string[]> = {
  incident: ["incidents", "incident", "overview"],
  action: ["actions", "incident", "automation"],
  verdict: ["verdicts"],
  overview: ["overview", "automation"],
  fault: ["overview", "incidents", "verdicts"],
};
const GATHER_MS = 700;
const BACKOFF_MS = [1000, 2000, 4000, 8000, 15000];

function connect(queries: QueryClient): () => void {
  let source: EventSource | undefined;
  let retry: number | undefined;
  let flush: number | undefined;
  let failures = 0;
  const old = new Set<string>();

  const refresh = () => {
    flush = undefined;
    for (const key of old) void queries.invalidateQueries({ queryKey: [key] });
    old.clear();
  };
  const open = () => {
    source = new EventSource("/v1/live");
    source.onopen = () => {
      // Events told while the line was down are gone: everything on the screen is read again.
      if (live.state === "reconnecting") void queries.invalidateQueries();
      failures = 0;
      become("live");
    };
    source.onmessage = (message: MessageEvent<string>) => {
      const { topic } = JSON.parse(message.data) as Notice;
      for (const key of KEYS[topic] ?? []) old.add(key);
      flush ??= window.setTimeout(refresh, GATHER_MS);
    };
    source.onerror = () => {
      become("reconnecting");
      source?.close();
      retry = window.setTimeout(open, BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)]);
      failures += 1;
    };
  };
  // The network is back: the next try need not wait for its turn.
  const again = () => {
    if (live.state !== "reconnecting") return;
    window.clearTimeout(retry);
    source?.close();
    open();
  };
  open();
  window.addEventListener("online", again);
  return () => {
    window.removeEventListener("online", again);
    source?.close();
    window.clearTimeout(retry);
    window.clearTimeout(flush);
  };
}

export function useLiveFeed(): void {
  const queries = useQueryClient();
  useEffect(() => connect(queries), [queries]);
}
