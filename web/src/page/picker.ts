// Which avatar: a radio button for each that the server has.

import type { Avatar } from "../client/api.ts";
import { byId, make } from "./dom.ts";

export class Picker {
  /** The chosen avatar's id; empty for the server's default. */
  chosen = "";
  private readonly fieldset = byId("picker") as HTMLFieldSetElement;

  constructor(private readonly onChoice: (avatar: Avatar) => void) {}

  fill(avatars: readonly Avatar[]): void {
    for (const [index, avatar] of avatars.entries()) {
      const label = make("label");
      const input = make("input");
      input.type = "radio";
      input.name = "avatar";
      input.value = avatar.avatar_id;
      input.checked = index === 0;
      input.addEventListener("change", () => this.choose(avatar));
      label.append(input, make("span", avatar.name));
      label.title = avatar.language;
      this.fieldset.append(label);
    }
    if (avatars[0]) this.choose(avatars[0]);
  }

  /** During a conversation nobody is exchanged. */
  set disabled(disabled: boolean) {
    this.fieldset.disabled = disabled;
  }

  private choose(avatar: Avatar): void {
    this.chosen = avatar.avatar_id;
    byId("canvas").setAttribute("aria-label", `${avatar.name}'s face`);
    this.onChoice(avatar);
  }
}
