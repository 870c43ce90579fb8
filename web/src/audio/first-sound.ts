// How long a turn's first voice waits in this client before it sounds.

export class FirstSound {
  private turn = 0;
  private arrivedAt = 0;
  private held: number | null = null;

  /** The first voice of a turn has come; what comes again after a drop changes nothing. */
  arrived(turn: number, now: number): void {
    if (turn <= this.turn) return;
    this.turn = turn;
    this.arrivedAt = now;
    this.held = null;
  }

  /** The turn's first sample sounds at this time of the same clock. */
  sounds(turn: number, at: number): void {
    if (turn === this.turn) this.held ??= Math.max(0, at - this.arrivedAt);
  }

  /** Milliseconds from arrival to sound; undefined while unknown. */
  of(turn: number): number | undefined {
    return turn === this.turn ? (this.held ?? undefined) : undefined;
  }
}
