import assert from "node:assert/strict";
import { test } from "node:test";
import { FirstSound } from "../src/audio/first-sound.ts";

test("the wait of a turn's first voice is measured once, and for its own turn", () => {
  const first = new FirstSound();
  first.arrived(1, 1000);
  assert.equal(first.of(1), undefined);
  first.sounds(1, 1085.5);
  assert.equal(first.of(1), 85.5);
  first.sounds(1, 1400); // it went on after an underrun
  first.arrived(1, 1300); // it came again after a drop
  assert.equal(first.of(1), 85.5);
  first.arrived(2, 2000);
  first.sounds(1, 2010);
  assert.deepEqual([first.of(1), first.of(2)], [undefined, undefined]);
});
