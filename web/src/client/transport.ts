// What the client needs from a transport; the WebSocket and a LiveKit room both fit behind it.

import type { Player } from "../audio/player.ts";

/** What the server said when the session was joined. */
export interface Joined {
  readonly sessionId: string;
  readonly voiceHertz: number;
  /** Empty: a session without motion. */
  readonly motionCodec: string;
  /** Frames per second of the codec; 0 when its payloads carry their own. */
  readonly motionRate: number;
  /** What the face does while no turn is: payloads in that codec, a loop. Empty: as you like. */
  readonly idle: readonly Uint8Array[];
  /** The turn that goes on; 0 for none. */
  readonly turn: number;
}

/** Speech that reaches the page as samples, to be played by the page itself. */
export interface Voice {
  readonly turn: number;
  readonly start: number;
  readonly pcm: Int16Array;
}

/** Frames to be shown while the samples from `start` sound. */
export interface Motion {
  readonly turn: number;
  readonly start: number;
  readonly samples: number;
  readonly payload: Uint8Array;
}

export interface Word {
  readonly text: string;
  readonly start_sample: number;
  readonly end_sample: number;
  /** Code points in the turn's text. */
  readonly text_start: number;
  readonly text_end: number;
}

/** A SessionEvent in protobuf's JSON: see protos/stagewire/common/v1/session_event.proto. */
export interface SessionEvent {
  readonly session_id?: string;
  readonly turn?: number;
  readonly state_changed?: { state?: string };
  readonly user_transcript?: { text?: string; final?: boolean };
  readonly avatar_transcript?: { text?: string };
  readonly turn_summary?: {
    reason?: string;
    text?: string;
    heard_characters?: number;
    played_milliseconds?: string;
  };
  readonly latency?: { total?: string; parts?: { name?: string; duration?: string }[] };
  readonly notice?: { message?: string; retryable?: boolean };
  readonly session_ended?: { reason?: string };
}

/** What a transport tells. Calls come in order. */
export interface Listener {
  joined(joined: Joined): void;
  turnStart(turn: number): void;
  voice(voice: Voice): void;
  motion(motion: Motion): void;
  wordsOf(turn: number, words: readonly Word[]): void;
  /** So much of the turn's text, in code points, sounds now; where no words are told. */
  spoken(turn: number, characters: number): void;
  endOfTurn(turn: number, samples: number): void;
  /** Be silent now: this turn and older ones are over. */
  interrupted(turn: number): void;
  event(event: SessionEvent): void;
  /** The server did not like a message; the connection goes on. */
  refused(code: string, message: string): void;
  /** The connection is lost; the transport tries again by itself. */
  lost(reason: string, retryInMilliseconds: number): void;
  /** The connection is over for good. */
  closed(reason: string): void;
}

export interface Transport {
  /** Connects, and connects again when the network drops, until it is closed. */
  open(listener: Listener): void;
  /** 16-bit samples at 16 kHz, without pauses while the microphone is on. */
  microphone?(pcm: Int16Array): void;
  /** Takes the microphone as a track instead, for transports that bring their own sound. */
  publish?(track: MediaStreamTrack): Promise<void>;
  /** Plays the voice by itself: the listener gets no samples. */
  openPlayer?(joined: Joined): Promise<Player>;
  text(text: string): void;
  interrupt(): void;
  /**
   * How far the loudspeaker has come in the turn; `stopped` when it goes no further.
   *
   * `buffered`: milliseconds from the arrival of the turn's first voice to its sounding, if known.
   */
  playback?(turn: number, playedSamples: number, stopped: boolean, buffered?: number): void;
  /** Leaves. */
  close(): void;
}
