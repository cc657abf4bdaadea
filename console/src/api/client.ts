/** An answer of the server that is not the one that was wanted: RFC 9457, or status 0 where no answer came. */
export class Problem extends Error {
  readonly status: number;
  readonly detail: string;
  readonly field: string;
  readonly code: string;
  readonly retryAfter: number;

  constructor(init: { status: number; title?: string; detail?: string; field?: string; code?: string; retryAfter?: number }) {
    super(init.detail || init.title || String(init.status));
    this.name = "Problem";
    this.status = init.status;
    this.detail = init.detail ?? "";
    this.field = init.field ?? "";
    this.code = init.code ?? "";
    this.retryAfter = init.retryAfter ?? 0;
  }
}

let csrf = "";
let onSignedOut: () => void = () => undefined;

export function setCsrf(token: string): void {
  csrf = token;
}

export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

async function problemOf(response: Response): Promise<Problem> {
  const retryAfter = Number(response.headers.get("retry-after")) || 0;
  const text = await response.text();
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    const field = (name: string) => (typeof body[name] === "string" ? body[name] : "");
    return new Problem({
      status: response.status,
      title: field("title"),
      detail: field("detail"),
      field: field("field"),
      code: field("code"),
      retryAfter,
    });
  } catch {
    return new Problem({ status: response.status, title: response.statusText, retryAfter });
  }
}

export type Query = Record<string, string | number | undefined>;

function withQuery(path: string, query: Query | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

async function call(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (method !== "GET") headers["x-csrf-token"] = csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? null : JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem({ status: 0 });
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (response.status === 401 && !path.startsWith("/v1/session")) onSignedOut();
    throw problem;
  }
  if (response.status === 204) return null;
  const text = await response.text();
  return text ? (JSON.parse(text) as unknown) : null;
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await call("GET", withQuery(path, query), undefined, signal)) as T;
}

export async function send<T = unknown>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown): Promise<T> {
  return (await call(method, path, body)) as T;
}
