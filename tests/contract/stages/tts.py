"""What the suite knows about tts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract.stage import USER_TEXT, Refusal, Stage, pcm_format
from contract.wire import Call
from stagewire.tts.v1 import tts_pb2


class Tts(Stage):
    """One call per turn: text in, voice out."""

    name = "tts"
    service = "stagewire.tts.v1.TtsService"
    method = "Synthesize"
    request = tts_pb2.SynthesizeRequest
    response = tts_pb2.SynthesizeResponse
    session_long = False

    def open(self, **changes: Any) -> Any:
        fields = {
            "session_id": self.new_session(),
            "turn": 1,
            "wants_words": True,
            "wants_phonemes": True,
        }
        return self.request(open=tts_pb2.Open(**{**fields, **changes}))

    def text(self, text: str) -> Any:
        """A text message."""
        return self.request(text={"text": text})

    def refusals(self) -> list[Refusal]:
        def wants(name: str, rate: int) -> Refusal:
            # A stage may answer with the format that it does speak.
            wanted = self.open(format=pcm_format(rate))
            return Refusal(f"format_{name}", [wanted], "UNSUPPORTED_FORMAT", may_accept=True)

        return [
            Refusal("turn_zero", [self.open(turn=0)], "INVALID_FIELD"),
            Refusal("voice", [self.open(voice="no such voice")], "UNKNOWN_VOICE"),
            Refusal("language", [self.open(language="tlh")], "UNSUPPORTED_LANGUAGE"),
            Refusal("rate_49_percent", [self.open(speaking_rate_percent=49)], "INVALID_FIELD"),
            Refusal("rate_201_percent", [self.open(speaking_rate_percent=201)], "INVALID_FIELD"),
            Refusal(
                "text_4001",
                [self.open(), self.text((USER_TEXT * 200)[:4001])],
                "INVALID_FIELD",
            ),
            wants("rate_0", 0),
            wants("rate_1", 1),
            wants("rate_2147483647", 2**31 - 1),
        ]

    async def short_session(self, call: Call) -> None:
        await call.send(self.open())
        assert (await call.receive()).WhichOneof("message") == "ready"
        await call.send(self.text("Yes."))
        await call.half_close()
        messages = await call.rest()
        assert messages[-1].WhichOneof("message") == "done"
        assert messages[-1].done.samples > 0

    def much(self) -> Iterator[Any]:
        # Four bytes a code point: the largest text messages that there are.
        clauses = f"{USER_TEXT}. " * 8 + "\N{MUSICAL SYMBOL G CLEF}" * 3_700
        return (self.text(clauses) for _ in range(50_000))
