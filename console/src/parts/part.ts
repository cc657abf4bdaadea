import { lazy, type ComponentType } from "react";

const PAUSES = [1_000, 2_000, 4_000, 8_000, 15_000];

/** A part of the console that is loaded when it is first shown; while the line is lost it is asked for again. */
// The properties of the part are its own; nothing here reads them.
export function part<T extends ComponentType<any>>(load: () => Promise<{ default: T }>) {
  return lazy(() => persistent(load));
}

async function persistent<T>(load: () => Promise<T>): Promise<T> {
  for (const pause of PAUSES) {
    try {
      return await load();
    } catch {
      await new Promise((resume) => window.setTimeout(resume, pause));
    }
  }
  return load();
}
