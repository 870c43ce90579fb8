// The avatar on the page: loads a head, and shows each frame what the session's clock says.

import type { Session } from "../client/session.ts";
import { Life, type Mood } from "./life.ts";
import { fetchFile, join } from "./model.ts";
import { Renderer, type Pose, type Quality } from "./renderer.ts";

export type Render = Quality | "auto" | "none";

/** How far the shown frame lay behind the sound, for measurements. */
export interface Shown {
  readonly turn: number;
  readonly frameSample: number;
  readonly heardSample: number;
  /** When, on the clock of `performance.now()`. */
  readonly at: number;
}

const SHOWN_KEPT = 6000;

export class Avatar {
  /** What was shown while it sounded, newest last. */
  readonly shown: Shown[] = [];
  /** What was shown last. */
  pose: Pose | null = null;
  session: Session | null = null;
  mood: Mood = "idle";
  private readonly renderer: Renderer | null;
  private readonly life = new Life();
  private rig: ArrayBuffer | null = null;
  private wanted = "";
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** Throws a sentence when the browser cannot draw in 3D. */
  constructor(canvas: HTMLCanvasElement, render: Render) {
    this.renderer = render === "none" ? null : new Renderer(canvas, render);
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => location.reload());
    requestAnimationFrame((now) => this.frame(now));
  }

  /** "full", "lite" or "none". */
  get quality(): Quality | "none" {
    return this.renderer?.quality ?? "none";
  }

  /** Loads and shows a look; `progress` gets 0 to 1. */
  async load(look: string, progress: (part: number) => void): Promise<void> {
    if (!this.renderer) return;
    this.wanted = look;
    const loaded = { rig: this.rig ? 1 : 0, person: 0 };
    const tell = (name: "rig" | "person") => (bytes: number, total: number) => {
      loaded[name] = total ? bytes / total : 0;
      // The rig is most of it.
      progress(loaded.rig * 0.8 + loaded.person * 0.2);
    };
    const [rig, person] = await Promise.all([
      this.rig ?? fetchFile("/head/rig.glb", tell("rig")),
      fetchFile(`/head/${encodeURIComponent(look)}.glb`, tell("person")),
    ]);
    this.rig = rig;
    // Somebody may have chosen another meanwhile.
    if (this.wanted === look) await this.renderer.take(join(rig, person));
  }

  private frame(now: number): void {
    requestAnimationFrame((next) => this.frame(next));
    const face = this.session?.face() ?? null;
    this.life.calm = this.calm.matches;
    this.pose = this.life.pose(now, face, this.mood, this.session?.idle?.face(now) ?? null);
    const drawn = this.renderer ? this.renderer.draw(this.pose, now) : true;
    if (!face || !drawn) return;
    const heard = this.session!.playback!.position();
    if (heard?.turn !== face.position.turn) return;
    this.shown.push({
      turn: heard.turn,
      frameSample: face.sample,
      heardSample: heard.sample,
      at: performance.now(),
    });
    if (this.shown.length > SHOWN_KEPT) this.shown.shift();
  }
}
