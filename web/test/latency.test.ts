import assert from "node:assert/strict";
import { test } from "node:test";
import { label } from "../src/page/latency.ts";

test("every part's name is readable, also one that is new to the page", () => {
  assert.equal(label("llm_first_token"), "LLM first token");
  assert.equal(label("client_buffer"), "Client buffer");
  assert.equal(label("tts_network"), "TTS network");
  assert.equal(label("warp_drive__asr"), "Warp drive ASR");
});
