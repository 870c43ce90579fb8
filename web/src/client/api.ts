// The orchestrator's session API, as a page needs it.

export interface Avatar {
  readonly avatar_id: string;
  readonly name: string;
  readonly language: string;
  /** Which head the page shows. */
  readonly look: string;
}

export interface Created {
  readonly session: {
    readonly session_id: string;
    readonly transport: "TRANSPORT_WEBSOCKET" | "TRANSPORT_LIVEKIT";
    readonly trace_id?: string;
  };
  readonly url: string;
  readonly client_token: string;
}

export interface PageSettings {
  /** Where a session's trace is shown, with `{trace_id}` in it; empty: nowhere. */
  readonly trace_url: string;
  /** Whether the visitor must show an API key. */
  readonly key_required: boolean;
  /** Who creates sessions for this page; empty: the orchestrator itself. */
  readonly sessions_url: string;
}

export interface Asking {
  /** How the session is joined: over egress' WebSocket, or in a LiveKit room. */
  readonly transport?: "websocket" | "livekit";
  /** An API key; goes to the orchestrator only. */
  readonly key?: string;
  /** Who creates the session in the orchestrator's place, answering as it does; gets cookies. */
  readonly url?: string;
}

/** A refusal in a sentence. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP's; 0: nobody answered. */
    readonly status: number,
  ) {
    super(message);
  }
}

export const avatars = async (): Promise<Avatar[]> =>
  (await answer<{ avatars: Avatar[] }>("/v1/avatars")).avatars;

export const settings = (): Promise<PageSettings> => answer("/page.json");

/** Creates a session; throws an ApiError when the server refuses or is away. */
export function createSession(
  avatarId: string,
  { transport = "websocket", key, url }: Asking = {},
): Promise<Created> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (key && !url) headers.authorization = `Bearer ${key}`;
  return answer(url || "/v1/sessions", {
    method: "POST",
    headers,
    body: JSON.stringify({ avatar_id: avatarId, transport }),
    credentials: url ? "include" : "same-origin",
  });
}

async function answer<Body>(path: string, request: RequestInit = {}): Promise<Body> {
  let response: Response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new ApiError("The server cannot be reached. Is it running?", 0);
  }
  const said = (await response.json().catch(() => ({}))) as Body & { error?: { message?: string } };
  if (!response.ok) throw new ApiError(refusal(response, said.error?.message), response.status);
  return said;
}

function refusal(response: Response, message: string | undefined): string {
  if (response.status === 429) {
    const wait = response.headers.get("retry-after");
    return `All places are taken. ${wait ? `Try again in ${wait} seconds.` : "Try again soon."}`;
  }
  return `The server refuses: ${message ?? response.status}`;
}
