// The microphone over a whole session: opened, muted, lost and found again.

import { MicrophoneError } from "./capture.ts";

/** An open device: see capture.ts. */
export interface Source {
  muted: boolean;
  /** Called when the device goes away, or is taken away. */
  onEnded: () => void;
  /** Called when the device begins, or ends, to give silence only: a switch on it, or the system. */
  onSilenced: (silenced: boolean) => void;
  /** Lets a browser that held sound back hear; from a click. */
  resume(): Promise<void>;
  close(): Promise<void>;
}

export interface MicrophoneState {
  readonly on: boolean;
  readonly muted: boolean;
  readonly problem: MicrophoneError | null;
}

/** The part of `navigator.mediaDevices` that is needed here. */
export interface Devices extends EventTarget {
  enumerateDevices(): Promise<{ readonly kind: string }[]>;
}

const GONE = new MicrophoneError(
  "gone",
  "The microphone went away. Connect it again, and it goes on by itself; or type.",
);
const SILENCED = new MicrophoneError(
  "silenced",
  "The microphone is silenced by a switch on it or by the system. Switch it on there, or type.",
);
// Without one of these, a device that appears changes nothing.
const CURED_BY_A_DEVICE = ["missing", "gone"];

export class Microphone {
  private source: Source | null = null;
  private opening: Promise<void> | null = null;
  private problem: MicrophoneError | null = null;
  private muted = false;
  private closed = false;
  private readonly changed = (): void => void this.found();

  constructor(
    private readonly open: () => Promise<Source>,
    private readonly tell: (state: MicrophoneState) => void,
    private readonly devices: Devices | undefined,
  ) {
    devices?.addEventListener("devicechange", this.changed);
  }

  /** Opens the device or lets it go on, or mutes it; never throws, tells the state. */
  async set(on: boolean): Promise<void> {
    this.muted = !on;
    if (on && this.problem?.kind === "silenced") await this.drop();
    if (on && !this.source) await (this.opening ??= this.reopen());
    if (this.source) this.source.muted = this.muted;
    this.report();
  }

  async resume(): Promise<void> {
    await this.source?.resume();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.devices?.removeEventListener("devicechange", this.changed);
    await this.drop();
  }

  private async reopen(): Promise<void> {
    try {
      const source = await this.open();
      if (this.closed) return await source.close();
      this.problem = null;
      this.source = source;
      source.onEnded = () => void this.lost(source);
      source.onSilenced = (silenced) => {
        this.problem = silenced ? SILENCED : null;
        this.report();
      };
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.problem = error;
    } finally {
      this.opening = null;
    }
  }

  /** Another device may be there; if not, or if it is not allowed any more, that is told. */
  private async lost(source: Source): Promise<void> {
    if (this.source !== source || this.closed) return;
    await this.drop();
    await (this.opening ??= this.reopen());
    if (this.problem?.kind === "missing") this.problem = GONE;
    if (this.source) (this.source as Source).muted = this.muted;
    this.report();
  }

  private async found(): Promise<void> {
    if (!this.problem || !CURED_BY_A_DEVICE.includes(this.problem.kind) || !this.devices) return;
    const devices = await this.devices.enumerateDevices();
    if (this.source || this.opening || this.closed) return;
    if (devices.some(({ kind }) => kind === "audioinput")) await this.set(!this.muted);
  }

  private async drop(): Promise<void> {
    const { source } = this;
    this.source = null;
    await source?.close();
  }

  private report(): void {
    if (this.closed) return;
    this.tell({ on: this.source !== null, muted: this.muted, problem: this.problem });
  }
}
