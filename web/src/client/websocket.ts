// Egress' WebSocket as a transport: joins, reads, and comes back after a drop.

import { readJoined } from "./joined.ts";
import type { Listener, SessionEvent, Transport, Word } from "./transport.ts";
import { packMicrophone, unpackMedia } from "./wire.ts";

export const MICROPHONE_HERTZ = 16_000;

// Close codes after which coming back makes no sense, and what to tell people (docs/websocket.md).
const FINAL: Record<number, string> = {
  1000: "The conversation has ended.",
  1009: "The server refused a message that was too large.",
  4400: "The server did not understand this page.",
  4401: "This conversation has ended.",
  4409: "This conversation goes on in another window.",
  4429: "The server closed the connection, because this page sent too much.",
};
const FIRST_DELAY = 250;
const LONGEST_DELAY = 5_000;
const GIVE_UP_AFTER = 120_000;
// Old microphone samples are worth less than new ones: beyond this nothing is queued.
const MOST_BUFFERED_BYTES = 64_000;
// A connection that takes nothing for so long, or does not answer `join`, is given up.
const STUCK_AFTER = 5_000;
const JOIN_WITHIN = 10_000;
const MOST_UNSENT_TEXTS = 10;
const MOST_BUFFER_TOLD = 60_000;

type Message = { type: string } & Record<string, unknown>;

export class WebSocketTransport implements Transport {
  private socket: WebSocket | null = null;
  private listener: Listener | null = null;
  private isJoined = false;
  private sent = 0;
  private unsent: string[] = [];
  private failures = 0;
  private lostAt = 0;
  private stuckSince: number | null = null;
  /** Until the next attempt, or, during one, until it is given up. */
  private timer = 0;
  private readonly offline = (): void => this.drop("The network is away.");
  private readonly online = (): void => {
    if (!this.socket) this.connect();
  };

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly make: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {}

  open(listener: Listener): void {
    this.listener = listener;
    window.addEventListener("offline", this.offline);
    window.addEventListener("online", this.online);
    this.connect();
  }

  microphone(pcm: Int16Array): void {
    const { socket } = this;
    if (!this.isJoined || !socket) return;
    if (socket.bufferedAmount > MOST_BUFFERED_BYTES) {
      this.stuckSince ??= Date.now();
      if (Date.now() - this.stuckSince > STUCK_AFTER) this.drop("The network is stuck.");
      return;
    }
    this.stuckSince = null;
    socket.send(packMicrophone(pcm, this.sent));
    this.sent += pcm.length;
  }

  text(text: string): void {
    // What is typed before the session is joined, or while it comes back, is not lost.
    if (this.isJoined) this.say({ type: "text", text });
    else if (this.unsent.length < MOST_UNSENT_TEXTS) this.unsent.push(text);
  }

  interrupt(): void {
    this.say({ type: "interrupt" });
  }

  playback(turn: number, playedSamples: number, stopped: boolean, buffered?: number): void {
    const known = buffered === undefined ? {} : { buffer_milliseconds: Math.min(buffered, MOST_BUFFER_TOLD) };
    this.say({ type: "playback", turn, played_samples: playedSamples, stopped, ...known });
  }

  close(): void {
    this.say({ type: "leave" });
    this.finish();
    this.isJoined = false;
    this.socket?.close(1000);
    this.socket = null;
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.drop("The server does not answer."), JOIN_WITHIN);
    const socket = this.make(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const microphone = { sample_rate_hertz: MICROPHONE_HERTZ };
      socket.send(JSON.stringify({ type: "join", token: this.token, microphone }));
    };
    socket.onmessage = ({ data }) => this.receive(data as string | ArrayBuffer);
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.gone(code, reason);
    };
  }

  private receive(data: string | ArrayBuffer): void {
    const { listener } = this;
    if (!listener) return;
    if (typeof data === "string") {
      this.told(JSON.parse(data) as Message, listener);
      return;
    }
    const media = unpackMedia(data);
    if (media && "voice" in media) listener.voice(media.voice);
    else if (media) listener.motion(media.motion);
  }

  private told(message: Message, listener: Listener): void {
    const turn = message.turn as number;
    switch (message.type) {
      case "joined":
        clearTimeout(this.timer);
        this.isJoined = true;
        this.sent = 0;
        this.stuckSince = null;
        this.failures = 0;
        this.lostAt = 0;
        listener.joined(readJoined(message));
        for (const text of this.unsent.splice(0)) this.text(text);
        break;
      case "turn_start":
        listener.turnStart(turn);
        break;
      case "words":
        listener.wordsOf(turn, message.words as Word[]);
        break;
      case "end_of_turn":
        listener.endOfTurn(turn, message.sample_count as number);
        break;
      case "interrupt":
        listener.interrupted(turn);
        break;
      case "event":
        listener.event(message.event as SessionEvent);
        break;
      case "error":
        listener.refused(String(message.code), String(message.message));
        break;
    }
  }

  private gone(code: number, reason: string): void {
    const { listener } = this;
    this.socket = null;
    this.isJoined = false;
    if (!listener) return;
    clearTimeout(this.timer);
    this.lostAt ||= Date.now();
    if (code in FINAL || Date.now() - this.lostAt > GIVE_UP_AFTER) {
      this.finish();
      listener.closed(FINAL[code] ?? "The server cannot be reached.");
      return;
    }
    const growing = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.failures++);
    const delay = growing * (0.75 + Math.random() / 2);
    listener.lost(reason || "The connection dropped.", delay);
    this.timer = window.setTimeout(() => this.connect(), delay);
  }

  /** Gives a connection up that may not know that it is dead. */
  private drop(reason: string): void {
    const { socket } = this;
    if (!socket) return;
    this.gone(1006, reason);
    socket.close();
  }

  private finish(): void {
    this.listener = null;
    clearTimeout(this.timer);
    window.removeEventListener("offline", this.offline);
    window.removeEventListener("online", this.online);
  }

  private say(message: Message): void {
    if (this.isJoined && this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(message));
    }
  }
}
