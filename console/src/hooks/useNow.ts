import { useSyncExternalStore } from "react";

let offset = 0;
let current = Date.now() * 1000;
let timer: number | undefined;
const readers = new Set<() => void>();

function tick(): void {
  current = Date.now() * 1000 + offset;
  for (const reader of readers) reader();
}

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  timer ??= window.setInterval(tick, 1000);
  return () => {
    readers.delete(reader);
    if (readers.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Countdowns follow the server's clock: a laptop that is minutes off must not show an expired block as live. */
export function setServerNow(now: number): void {
  const measured = now - Date.now() * 1000;
  if (Math.abs(measured - offset) > 500_000) offset = measured;
}

export function serverNow(): number {
  return Date.now() * 1000 + offset;
}

/** Now in microseconds of the server's clock, once a second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => current);
}
