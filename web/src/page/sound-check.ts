// "No sound?": what the page can know about the loudspeaker, and a tone for the rest.

import { byId } from "./dom.ts";

export class SoundCheck {
  private readonly details = byId("sound-check") as HTMLDetailsElement;
  private context: AudioContext | null = null;

  /** `state` says in a sentence what the page plays now. */
  constructor(private readonly state: () => string) {
    this.details.addEventListener("toggle", () => this.look());
    byId("tone").addEventListener("click", () => void this.tone());
  }

  /** Shows what is known now. */
  look(): void {
    if (this.details.open) byId("sound-state").textContent = this.state();
  }

  private async tone(): Promise<void> {
    this.context ??= new AudioContext();
    const { context } = this;
    await context.resume();
    const tone = new OscillatorNode(context, { frequency: 523 });
    const volume = new GainNode(context, { gain: 0.2 });
    tone.connect(volume).connect(context.destination);
    const now = context.currentTime;
    volume.gain.setTargetAtTime(0, now + 0.5, 0.08);
    tone.start(now);
    tone.stop(now + 1);
    byId("sound-state").textContent = "The tone is played now.";
    tone.onended = () => this.look();
  }
}

/** Whether the browser lists its devices and there is no loudspeaker among them. */
export async function hasNoLoudspeaker(): Promise<boolean> {
  // Browsers that cannot choose a loudspeaker do not list any.
  if (!navigator.mediaDevices || !("setSinkId" in AudioContext.prototype)) return false;
  const devices = await navigator.mediaDevices.enumerateDevices();
  // Before the microphone is allowed a browser may list nothing at all.
  return devices.length > 0 && devices.every(({ kind }) => kind !== "audiooutput");
}
