import { useWaiting } from "../api/queries";
import type { Action } from "../api/types";

/** Waiting actions by incident. */
export function useWaitingByIncident(): Map<string, Action[]> {
  const groups = new Map<string, Action[]>();
  for (const action of useWaiting().data ?? []) {
    groups.set(action.incident, [...(groups.get(action.incident) ?? []), action]);
  }
  return groups;
}
