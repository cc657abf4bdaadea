import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { serverNow, setServerNow } from "../hooks/useNow";
import { get, type Query } from "./client";
import type {
  Action,
  AutomationView,
  DeadLetter,
  Incident,
  IncidentView,
  Overview,
  Page,
  PlaneView,
  PlaybookDetail,
  RuleView,
  SeriesView,
  SessionView,
  Verdict,
} from "./types";

const SECOND = 1000;
/** Live events refetch at once; these are the backstop where one was lost. */
const BACKSTOP = 15 * SECOND;

export function useSession() {
  return useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => get<SessionView>("/v1/session", undefined, signal),
    staleTime: Infinity,
    retry: false,
  });
}

export function useOverview() {
  return useQuery({
    queryKey: ["overview"],
    queryFn: async ({ signal }) => {
      const overview = await get<Overview>("/v1/overview", undefined, signal);
      setServerNow(overview.now);
      return overview;
    },
    refetchInterval: 3 * SECOND,
  });
}

function useList<T>(key: string, path: string, query: Query, limit: number) {
  return useInfiniteQuery({
    queryKey: [key, query],
    queryFn: ({ pageParam, signal }) => get<Page<T>>(path, { ...query, limit, after: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next || undefined,
    placeholderData: keepPreviousData,
    refetchInterval: BACKSTOP,
  });
}

export const useIncidents = (query: Query, limit = 50) => useList<Incident>("incidents", "/v1/incidents", query, limit);
export const useVerdicts = (query: Query) => useList<Verdict>("verdicts", "/v1/verdicts", query, 50);
export const useDeadLetters = (query: Query) => useList<DeadLetter>("dead-letters", "/v1/dead-letters", query, 50);

export function useIncident(id: string) {
  return useQuery({
    queryKey: ["incident", id],
    queryFn: ({ signal }) => get<IncidentView>(`/v1/incidents/${encodeURIComponent(id)}`, undefined, signal),
    refetchInterval: 5 * SECOND,
  });
}

/** The last hour of one series, read again with each minute. */
export function useSeries(name: string) {
  return useQuery({
    queryKey: ["series", name],
    queryFn: ({ signal }) => get<SeriesView>("/v1/series", { name, start: serverNow() - 3_600_000_000 }, signal),
    refetchInterval: BACKSTOP,
  });
}

/** Actions that wait for a person, oldest first: the desk's inbox. */
export function useWaiting() {
  return useQuery({
    queryKey: ["actions", "waiting"],
    queryFn: async ({ signal }) => {
      const page = await get<Page<Action>>("/v1/actions", { state: "asked,suggested", limit: 500 }, signal);
      return page.items.toSorted((one, other) => one.created - other.created || one.step - other.step);
    },
    refetchInterval: BACKSTOP,
  });
}

export function useVerdict(id: string) {
  return useQuery({
    queryKey: ["verdict", id],
    queryFn: ({ signal }) => get<Verdict>(`/v1/verdicts/${encodeURIComponent(id)}`, undefined, signal),
    enabled: id !== "",
  });
}

export function useDeadLetter(id: string) {
  return useQuery({
    queryKey: ["dead-letter", id],
    queryFn: ({ signal }) => get<DeadLetter>(`/v1/dead-letters/${encodeURIComponent(id)}`, undefined, signal),
    enabled: id !== "",
  });
}

export function useAutomation() {
  return useQuery({
    queryKey: ["automation"],
    queryFn: ({ signal }) => get<AutomationView>("/v1/automation", undefined, signal),
    refetchInterval: BACKSTOP,
  });
}

export function useRules() {
  return useQuery({
    queryKey: ["rules"],
    queryFn: async ({ signal }) => (await get<Page<RuleView>>("/v1/rules", undefined, signal)).items,
  });
}

export function usePlane() {
  return useQuery({
    queryKey: ["plane"],
    queryFn: ({ signal }) => get<PlaneView>("/v1/plane", undefined, signal),
    refetchInterval: 2 * SECOND,
  });
}

export function usePlaybook(name: string) {
  return useQuery({
    queryKey: ["playbook", name],
    queryFn: ({ signal }) => get<PlaybookDetail>(`/v1/playbooks/${encodeURIComponent(name)}`, undefined, signal),
    enabled: name !== "",
  });
}
