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
}

export const avatars = async (): Promise<Avatar[]> =>
  (await answer<{ avatars: Avatar[] }>("/v1/avatars")).avatars;

export const settings = (): Promise<PageSettings> => answer("/page.json");

/** Creates a session; throws a sentence when the server refuses or is away. */
export const createSession = (
  avatarId: string,
  transport: "websocket" | "livekit" = "websocket",
): Promise<Created> => answer("/v1/sessions", { avatar_id: avatarId, transport });

async function answer<Body>(path: string, body?: object): Promise<Body> {
  const request: RequestInit = body
    ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    : {};
  let response: Response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Error("The server cannot be reached. Is it running?");
  }
  const said = (await response.json().catch(() => ({}))) as Body & { error?: { message?: string } };
  if (!response.ok) throw new Error(refusal(response, said.error?.message));
  return said;
}

function refusal(response: Response, message: string | undefined): string {
  if (response.status === 429) {
    const wait = response.headers.get("retry-after");
    return `All places are taken. ${wait ? `Try again in ${wait} seconds.` : "Try again soon."}`;
  }
  return `The server refuses: ${message ?? response.status}`;
}
