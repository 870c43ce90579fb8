// Which transport a session is joined over: its server has decided.

import type { Created } from "./api.ts";
import type { Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket.ts";

/** A file that is served beside this one. */
export const beside = (name: string): string => new URL(name, import.meta.url).href;

/** The session's transport; LiveKit's is a bundle of its own, which is fetched here and only then. */
export async function transportOf({ session, url, client_token }: Created): Promise<Transport> {
  if (session.transport !== "TRANSPORT_LIVEKIT") return new WebSocketTransport(url, client_token);
  const bundle = beside("livekit.js");
  const { LiveKitTransport } = (await import(bundle)) as typeof import("./livekit.ts");
  return new LiveKitTransport(url, client_token);
}
