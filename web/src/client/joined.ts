// The message `joined`: the same on egress' WebSocket and in a room (docs/websocket.md).

import type { Joined } from "./transport.ts";

interface Motion {
  codec: string;
  frame_rate?: number;
  idle?: string[];
}

export function readJoined(message: Record<string, unknown>): Joined {
  const motion = message.motion as Motion | null;
  const voice = message.voice as { sample_rate_hertz: number };
  return {
    sessionId: message.session_id as string,
    voiceHertz: voice.sample_rate_hertz,
    motionCodec: motion?.codec ?? "",
    motionRate: motion?.frame_rate ?? 0,
    idle: (motion?.idle ?? []).map(bytes),
    turn: message.turn as number,
  };
}

function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
