// Typed events.

export class Emitter<Events> {
  private readonly listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Listens; the returned function stops that. */
  on<Name extends keyof Events>(name: Name, call: (event: Events[Name]) => void): () => void {
    let calls = this.listeners.get(name);
    if (!calls) this.listeners.set(name, (calls = new Set()));
    calls.add(call);
    return () => calls.delete(call);
  }

  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const call of this.listeners.get(name) ?? []) (call as (event: Events[Name]) => void)(event);
  }
}
