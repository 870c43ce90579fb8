// A LiveKit room as a transport (docs/livekit.md). A bundle of its own: a session over a WebSocket
// never loads it.

import {
  ConnectionError,
  DisconnectReason,
  type RemoteParticipant,
  type RemoteTrack,
  type RemoteTrackPublication,
  Room,
  RoomEvent,
  setLogLevel,
  type TextStreamReader,
  Track,
} from "livekit-client";
import { TrackPlayer } from "../audio/track-player.ts";
import { readJoined } from "./joined.ts";
import { PacketReader } from "./packets.ts";
import type { Joined, Listener, SessionEvent, Transport } from "./transport.ts";

const MOTION_TOPIC = "stagewire.motion";
const EVENTS_TOPIC = "stagewire.events";
const CHAT_TOPIC = "lk.chat";
const TRANSCRIPTION_TOPIC = "lk.transcription";
const SEGMENT = "lk.segment_id";
const INTERRUPT_METHOD = "stagewire.interrupt";

// After these coming back makes no sense; what to tell people.
const FINAL: Partial<Record<DisconnectReason, string>> = {
  [DisconnectReason.DUPLICATE_IDENTITY]: "This conversation goes on in another window.",
  [DisconnectReason.PARTICIPANT_REMOVED]: "You were taken out of the room.",
  [DisconnectReason.ROOM_DELETED]: "The conversation has ended.",
};
const FIRST_DELAY = 250;
const LONGEST_DELAY = 5_000;
const GIVE_UP_AFTER = 120_000;
const MOST_UNSENT_TEXTS = 10;
// What is sent right after a restart was seen to be lost without an error (in half a second, too).
const SETTLES = 2_000;

setLogLevel("warn");

type Message = { type: string } & Record<string, unknown>;

export class LiveKitTransport implements Transport {
  private room: Room | null = null;
  private listener: Listener | null = null;
  private player: TrackPlayer | null = null;
  private readonly packets = new PacketReader();
  private published: MediaStreamTrack | null = null;
  private avatar = "";
  private known: Joined | null = null;
  private isConnected = false;
  private isJoined = false;
  private turn = 0;
  private unsent: string[] = [];
  private settling = 0;
  private isMended = false;
  private failures = 0;
  private retry = 0;
  private giveUp = 0;

  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  open(listener: Listener): void {
    this.listener = listener;
    this.waitForAvatar();
    void this.connect();
  }

  /** Plays the voice, now that it is known how; a track that is there already is taken up. */
  async openPlayer({ voiceHertz }: Joined): Promise<TrackPlayer> {
    const player = new TrackPlayer(voiceHertz);
    this.player = player;
    for (const participant of this.room?.remoteParticipants.values() ?? []) {
      for (const { track } of participant.trackPublications.values()) {
        if (participant.isAgent && track) this.play(track as RemoteTrack);
      }
    }
    return player;
  }

  async publish(track: MediaStreamTrack): Promise<void> {
    const before = this.published;
    this.published = track;
    const participant = this.room?.localParticipant;
    if (!participant || !this.isJoined) return;
    try {
      if (before) await participant.unpublishTrack(before);
      await participant.publishTrack(track, { source: Track.Source.Microphone });
    } catch {
      // With the connection: it is published again when that is there.
      this.listener?.refused("MICROPHONE", "the microphone could not be published");
    }
  }

  text(text: string): void {
    // What is typed before the session is joined, or while it comes back, is not lost.
    if (!this.isJoined || this.settling) {
      if (this.unsent.length < MOST_UNSENT_TEXTS) this.unsent.push(text);
      return;
    }
    this.room!.localParticipant
      .sendText(text, { topic: CHAT_TOPIC, destinationIdentities: [this.avatar] })
      .catch(() => this.listener?.refused("TEXT", "a text could not be sent"));
  }

  interrupt(): void {
    if (!this.isJoined) return;
    this.room!.localParticipant
      .performRpc({ destinationIdentity: this.avatar, method: INTERRUPT_METHOD, payload: "" })
      .catch(() => this.listener?.refused("INTERRUPT", "an interruption could not be sent"));
  }

  close(): void {
    this.listener = null;
    this.isJoined = false;
    clearTimeout(this.retry);
    clearTimeout(this.giveUp);
    clearTimeout(this.settling);
    void this.room?.disconnect();
    this.room = null;
  }

  private async connect(): Promise<void> {
    const room = new Room();
    this.room = room;
    this.listen(room);
    try {
      await room.connect(this.url, this.token, { autoSubscribe: false });
    } catch (error) {
      if (this.room !== room) return;
      const isRefused = error instanceof ConnectionError && error.reasonName === "NotAllowed";
      if (isRefused) this.end("This conversation has ended.");
      else this.again("The room cannot be reached.");
      return;
    }
    if (this.room !== room) return;
    this.isConnected = true;
    for (const participant of room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        this.subscribe(publication as RemoteTrackPublication, participant);
      }
    }
  }

  private listen(room: Room): void {
    room
      .on(RoomEvent.TrackPublished, (publication, from) => this.subscribe(publication, from))
      .on(RoomEvent.TrackSubscribed, (track, _, from) => {
        if (from.isAgent) this.play(track);
      })
      .on(RoomEvent.DataReceived, (data, from, _, topic) => {
        if (topic === MOTION_TOPIC && from?.isAgent) this.packet(data);
      })
      .on(RoomEvent.ParticipantDisconnected, ({ identity }) => {
        if (identity !== this.avatar) return;
        this.known = null;
        this.lost("The avatar has left the room; it may come back.");
      })
      .on(RoomEvent.SignalReconnecting, () => this.lost("The connection dropped."))
      .on(RoomEvent.Reconnecting, () => {
        this.known = null;
        this.isMended = true;
        this.lost("The connection dropped.");
      })
      .on(RoomEvent.Reconnected, () => {
        // The same connection goes on; on a new one the avatar says `joined` when it can hear us.
        if (this.known) this.joined(this.known);
      })
      .on(RoomEvent.Disconnected, (reason) => {
        // That it could not connect at all, `connect` says.
        if (this.room !== room || !this.isConnected) return;
        this.isConnected = false;
        const why = FINAL[reason ?? DisconnectReason.UNKNOWN_REASON];
        if (why) this.end(why);
        else this.again("The connection dropped.");
      });
    room.registerTextStreamHandler(EVENTS_TOPIC, (reader, { identity }) => {
      if (this.isAvatar(identity)) void this.told(reader, identity);
    });
    room.registerTextStreamHandler(TRANSCRIPTION_TOPIC, (reader, { identity }) => {
      if (this.isAvatar(identity)) void this.spoken(reader);
    });
  }

  /** Only an agent's word counts: nobody else's token lets them be one. */
  private isAvatar(identity: string): boolean {
    return this.room?.remoteParticipants.get(identity)?.isAgent ?? false;
  }

  /** Of everybody's tracks the avatar's voice alone is wanted. */
  private subscribe(publication: RemoteTrackPublication, from: RemoteParticipant): void {
    if (from.isAgent && publication.kind === Track.Kind.Audio) publication.setSubscribed(true);
  }

  private play(track: RemoteTrack): void {
    this.player?.play(track.mediaStreamTrack, track.receiver ?? null);
  }

  private packet(data: Uint8Array): void {
    const { listener } = this;
    const packet = this.packets.read(data);
    if (!listener || !packet) return;
    switch (packet.kind) {
      case "motion":
        this.begin(packet.motion.turn);
        listener.motion(packet.motion);
        break;
      case "clock":
        this.begin(packet.turn);
        this.player?.clock(packet.turn, packet.sample, packet.epoch);
        break;
      case "end":
        listener.endOfTurn(packet.turn, packet.length);
        break;
      case "interrupt":
        listener.endOfTurn(packet.turn, packet.sample);
        listener.interrupted(packet.turn);
        break;
    }
  }

  private begin(turn: number): void {
    if (turn <= this.turn) return;
    this.turn = turn;
    this.listener?.turnStart(turn);
  }

  private async told(reader: TextStreamReader, identity: string): Promise<void> {
    const text = await reader.readAll().catch(() => "");
    const { listener } = this;
    if (!listener || !text) return;
    const message = JSON.parse(text) as Message;
    switch (message.type) {
      case "joined":
        this.avatar = identity;
        this.joined(readJoined(message));
        break;
      case "event":
        listener.event(message.event as SessionEvent);
        break;
      case "error":
        listener.refused(String(message.code), String(message.message));
        break;
    }
  }

  /** The avatar's caption grows with the voice. */
  private async spoken(reader: TextStreamReader): Promise<void> {
    const turn = Number(/^turn-(\d+)$/.exec(reader.info.attributes?.[SEGMENT] ?? "")?.[1] ?? 0);
    let characters = 0;
    try {
      for await (const part of reader) {
        characters += [...part].length;
        this.listener?.spoken(turn, characters);
      }
    } catch {
      // Broken off with the connection: it comes anew.
    }
  }

  private joined(joined: Joined): void {
    const isFirst = !this.isJoined;
    this.known = joined;
    this.isJoined = true;
    this.failures = 0;
    clearTimeout(this.giveUp);
    this.listener?.joined(joined);
    if (!isFirst) return;
    clearTimeout(this.settling);
    this.settling = window.setTimeout(() => this.sendUnsent(), this.isMended ? SETTLES : 0);
    this.isMended = false;
    const { published, room } = this;
    const there = [...(room?.localParticipant.trackPublications.values() ?? [])];
    if (published && !there.some(({ track }) => track?.mediaStreamTrack === published)) {
      void this.publish(published);
    }
  }

  private sendUnsent(): void {
    this.settling = 0;
    for (const text of this.unsent.splice(0)) this.text(text);
  }

  private lost(reason: string, retryIn = 0): void {
    if (this.isJoined) this.waitForAvatar();
    this.isJoined = false;
    this.listener?.lost(reason, retryIn);
  }

  private waitForAvatar(): void {
    clearTimeout(this.giveUp);
    this.giveUp = window.setTimeout(() => this.end("The avatar cannot be reached."), GIVE_UP_AFTER);
  }

  private again(reason: string): void {
    const growing = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.failures++);
    const delay = growing * (0.75 + Math.random() / 2);
    this.lost(reason, delay);
    this.retry = window.setTimeout(() => void this.connect(), delay);
  }

  private end(reason: string): void {
    const { listener } = this;
    this.close();
    listener?.closed(reason);
  }
}
