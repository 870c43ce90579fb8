"""What the suite knows about egress."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

from contract.stage import Refusal, TurnStage, hum, pcm_format
from contract.wire import Call
from stagewire.common.v1 import turn_pb2
from stagewire.egress.v1 import egress_pb2 as pb
from support.processes import free_port


class Egress(TurnStage):
    """One stream per session: voice and motion out to a client. Here no client ever comes."""

    name = "egress"
    service = "stagewire.egress.v1.EgressService"
    method = "Deliver"
    request = pb.DeliverRequest
    response = pb.DeliverResponse
    formats: ClassVar[Sequence[str]] = ("voice_format", "microphone_format")
    settings: ClassVar[dict[str, str]] = {"STAGEWIRE_EGRESS_WEBSOCKET_PORT": str(free_port())}

    def open(self, **changes: Any) -> Any:
        fields = {
            "session_id": self.new_session(),
            "web_socket": pb.WebSocketTarget(join_token=secrets.token_urlsafe(24)),
            "voice_format": pcm_format(),
            "motion_codec": "stagewire.arkit52",
            "motion_frame_rate": 50,
            "microphone_format": pcm_format(),
        }
        return self.request(open=pb.Open(**{**fields, **changes}))

    def turn_start(self, turn: int) -> Any:
        return self.request(turn_start={"turn": turn})

    def audio(self, data: bytes, start: int = 0, turn: int = 1) -> Any:
        return self.request(audio={"turn": turn, "audio": {"data": data, "start_sample": start}})

    def motion(self, turn: int, start: int, end: int) -> Any:
        """Motion whose payload egress must not look into."""
        return self.request(
            motion={"turn": turn, "payload": b"opaque", "start_sample": start, "end_sample": end}
        )

    def words(self, turn: int) -> Any:
        """One word."""
        word = {"text": "yes", "start_sample": 0, "end_sample": 640, "text_start": 0, "text_end": 3}
        return self.request(words={"turn": turn, "words": [word]})

    def end(self, turn: int) -> Any:
        return self.request(end_of_turn={"turn": turn})

    def interrupt(self, turn: int) -> Any:
        return self.request(interrupt={"turn": turn})

    def event(self) -> Any:
        """Something for the client to show."""
        return self.request(event={"session_id": "s", "sequence": 1, "state_changed": {"state": 2}})

    def refusals(self) -> list[Refusal]:
        def into_room(publisher: int) -> Any:
            target = {
                "url": "ws://127.0.0.1:9",
                "token": "t",
                "room": "r",
                "identity": "egress",
                "publisher": publisher,
            }
            return self.open(web_socket=None, livekit=target)

        def token(length: int) -> Any:
            return self.open(web_socket=pb.WebSocketTarget(join_token="t" * length))

        return [
            Refusal("target_missing", [self.open(web_socket=None)], "INVALID_FIELD"),
            Refusal("token_15", [token(15)], "INVALID_FIELD"),
            Refusal("token_513", [token(513)], "INVALID_FIELD"),
            Refusal("publisher_unspecified", [into_room(0)], "INVALID_FIELD"),
            Refusal("publisher_unknown", [into_room(77)], "INVALID_FIELD"),
            Refusal("motion_without_turn", [self.open(), self.motion(1, 0, 640)], "INVALID_FIELD"),
            Refusal(
                "motion_without_codec",
                [self.open(motion_codec=""), self.turn_start(1), self.motion(1, 0, 640)],
                "INVALID_FIELD",
            ),
            Refusal("words_without_turn", [self.open(), self.words(1)], "INVALID_FIELD"),
            *self.turn_refusals(),
        ]

    async def short_session(self, call: Call) -> None:
        await call.send(self.open())
        assert (await call.receive()).WhichOneof("message") == "ready"
        await call.send(self.turn_start(1), self.audio(hum(640)), self.interrupt(1))
        ended = (await call.until("turn_ended"))[-1].turn_ended
        assert (ended.turn, ended.reason) == (1, turn_pb2.TURN_END_REASON_INTERRUPTED)
        assert ended.played_samples == 0, "nobody was there to hear it"
        await call.half_close()
        await call.rest()
