"""What the suite knows about asr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from contract.stage import RATE, Refusal, Stage, long_hums, pcm_format, silence
from contract.wire import Call
from stagewire.asr.v1 import asr_pb2


class Asr(Stage):
    """One stream per session; the microphone's samples count from its start."""

    name = "asr"
    service = "stagewire.asr.v1.AsrService"
    method = "Transcribe"
    request = asr_pb2.TranscribeRequest
    response = asr_pb2.TranscribeResponse
    formats: ClassVar[Sequence[str]] = ("format",)
    growth_megabytes = 150.0  # what it hears decides how much the decoder works with

    def open(self, **changes: Any) -> Any:
        fields = {
            "session_id": self.new_session(),
            "format": pcm_format(),
            "language": "en",
            "wants_partials": True,
            "wants_words": True,
        }
        return self.request(open=asr_pb2.Open(**{**fields, **changes}))

    def audio(self, data: bytes, start: int = 0, turn: int = 1) -> Any:
        return self.request(audio={"data": data, "start_sample": start})

    def refusals(self) -> list[Refusal]:
        return [
            Refusal("format_missing", [self.open(format=None)], "UNSUPPORTED_FORMAT"),
            Refusal("language", [self.open(language="tlh")], "UNSUPPORTED_LANGUAGE"),
        ]

    async def short_session(self, call: Call) -> None:
        await call.send(self.open())
        assert (await call.receive()).WhichOneof("message") == "ready"
        await call.send(self.audio(silence(RATE // 5)), self.request(finalize={}))
        final = (await call.until("final"))[-1].final
        assert final.text == ""
        await call.half_close()
        await call.rest()

    def much(self) -> Iterator[Any]:
        return (self.audio(piece, start) for piece, start in long_hums())
