// The microphone as a device that is open.

import type { Source } from "./microphone.ts";

/** Why there is no microphone, in words for the person in front of it. */
export class MicrophoneError extends Error {
  constructor(
    readonly kind: "denied" | "missing" | "busy" | "unsupported" | "gone" | "silenced",
    message: string,
  ) {
    super(message);
  }
}

const REASONS: Record<string, MicrophoneError> = {
  NotAllowedError: new MicrophoneError(
    "denied",
    "The microphone is blocked for this page. Allow it in the address bar and try again, or type.",
  ),
  NotFoundError: new MicrophoneError(
    "missing",
    "No microphone was found. Connect one and try again, or type.",
  ),
  NotReadableError: new MicrophoneError(
    "busy",
    "The microphone cannot be opened; another program may be using it. Close that, or type.",
  ),
};

export class Capture implements Source {
  onEnded = (): void => {};
  onSilenced = (_silenced: boolean): void => {};

  private constructor(
    private readonly stream: MediaStream,
    private readonly context: AudioContext | null = null,
  ) {
    for (const track of stream.getAudioTracks()) {
      track.onended = () => this.onEnded();
      track.onmute = () => this.onSilenced(true);
      track.onunmute = () => this.onSilenced(false);
    }
  }

  /**
   * Opens the microphone and hands it over as a track.
   *
   * Throws MicrophoneError when there is none, or it is not allowed.
   */
  static async track(publish: (track: MediaStreamTrack) => Promise<void>): Promise<Capture> {
    const stream = await microphone();
    await publish(stream.getAudioTracks()[0]);
    return new Capture(stream);
  }

  /**
   * Opens the microphone and hands over frames of 20 ms at 16 kHz.
   *
   * Throws MicrophoneError when there is none, or it is not allowed.
   */
  static async open(workletUrl: string, frame: (pcm: Int16Array) => void): Promise<Capture> {
    const stream = await microphone();
    const context = matching(stream);
    await context.audioWorklet.addModule(workletUrl);
    const node = new AudioWorkletNode(context, "stagewire-capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }: MessageEvent<Int16Array>) => frame(data);
    context.createMediaStreamSource(stream).connect(node);
    void context.resume(); // a browser that holds sound back keeps this waiting
    return new Capture(stream, context);
  }

  /** A muted microphone sends silence: the recognizer's clock is the stream. */
  set muted(muted: boolean) {
    for (const track of this.stream.getAudioTracks()) track.enabled = !muted;
  }

  async resume(): Promise<void> {
    await this.context?.resume();
  }

  async close(): Promise<void> {
    this.onEnded = this.onSilenced = () => {};
    for (const track of this.stream.getTracks()) track.stop();
    await this.context?.close();
  }
}

async function microphone(): Promise<MediaStream> {
  if (!navigator.mediaDevices) {
    throw new MicrophoneError(
      "unsupported",
      "This browser gives no microphone to pages without HTTPS. Use https, or localhost; or type.",
    );
  }
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...audio, channelCount: 1 } });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    throw REASONS[name] ?? REASONS.NotReadableError;
  }
}

/** A context at 16 kHz where the browser resamples microphones, else at the microphone's own rate. */
function matching(stream: MediaStream): AudioContext {
  const context = new AudioContext({ sampleRate: 16_000 });
  try {
    context.createMediaStreamSource(stream);
    return context;
  } catch {
    void context.close();
    return new AudioContext();
  }
}
