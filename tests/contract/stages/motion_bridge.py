"""What the suite knows about motion_bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from contract.stage import RATE, Refusal, TurnStage, hum, pcm_format
from contract.wire import Call
from stagewire.motion_bridge.v1 import motion_bridge_pb2 as pb


class MotionBridge(TurnStage):
    """One stream per session: voice in, motion out."""

    name = "motion_bridge"
    service = "stagewire.motion_bridge.v1.MotionBridgeService"
    method = "Animate"
    request = pb.AnimateRequest
    response = pb.AnimateResponse
    formats: ClassVar[Sequence[str]] = ("format",)

    def open(self, **changes: Any) -> Any:
        fields = {
            "session_id": self.new_session(),
            "avatar_id": "conformance",
            "format": pcm_format(),
            "return_frames": pb.ReturnFrames(),
        }
        return self.request(open=pb.Open(**{**fields, **changes}))

    def turn_start(self, turn: int) -> Any:
        return self.request(turn_start={"turn": turn})

    def audio(self, data: bytes, start: int = 0, turn: int = 1) -> Any:
        return self.request(audio={"turn": turn, "audio": {"data": data, "start_sample": start}})

    def phonemes(self, turn: int, alphabet: int = 1) -> Any:
        """A fifth of a second of speech sounds from the start of the turn."""
        sounds = [
            {"symbol": symbol, "start_sample": n * 1_600, "end_sample": (n + 1) * 1_600}
            for n, symbol in enumerate(["M", "AA"])
        ]
        return self.request(phonemes={"turn": turn, "alphabet": alphabet, "phonemes": sounds})

    def end(self, turn: int) -> Any:
        return self.request(end_of_audio={"turn": turn})

    def interrupt(self, turn: int) -> Any:
        return self.request(interrupt={"turn": turn})

    def refusals(self) -> list[Refusal]:
        return [
            Refusal("format_missing", [self.open(format=None)], "UNSUPPORTED_FORMAT"),
            Refusal("delivery_missing", [self.open(return_frames=None)], "INVALID_FIELD"),
            Refusal("codec", [self.open(codecs=["nobody.codec"])], "UNSUPPORTED_FORMAT"),
            Refusal("phonemes_without_turn", [self.open(), self.phonemes(1)], "INVALID_FIELD"),
            *self.turn_refusals(),
        ]

    async def short_session(self, call: Call) -> None:
        await call.send(self.open())
        assert (await call.receive()).WhichOneof("message") == "ready"
        await call.send(self.turn_start(1), self.audio(hum(RATE // 2)), self.end(1))
        messages = await call.until("turn_ended")
        assert messages[-1].turn_ended.turn == 1
        assert any(message.WhichOneof("message") == "motion" for message in messages)
        await call.half_close()
        await call.rest()
