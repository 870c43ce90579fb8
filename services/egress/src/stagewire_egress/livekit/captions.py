"""What was said, as text streams on `lk.transcription`: the user's words, and the avatar's.

The user's words replace one another, one stream each, until the last says that it is final. The
avatar's are one stream per turn that grows with the voice: a word is shown when it sounds, and
after an interruption there stands what was heard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from livekit import rtc
from stagewire.common.v1 import session_event_pb2

from stagewire_egress.livekit.telling import Teller

TOPIC = "lk.transcription"
_SEGMENT, _FINAL, _TRACK = (
    "lk.segment_id",
    "lk.transcription_final",
    "lk.transcribed_track_id",
)


@dataclass
class _Segment:
    """The avatar's words in one turn.

    Attributes:
        text: The turn's text so far.
        spoken: How much of it was spoken, in code points.
        written: How much of it stands in the stream.
        over: Nothing more will be spoken.
        writer: The stream, once there is something to write.
    """

    text: str = ""
    spoken: int = 0
    written: int = 0
    over: bool = False
    writer: rtc.TextStreamWriter | None = None


class Captions:
    """Tells the room what was said.

    Args:
        participant: The avatar's participant.
        teller: Does the telling.
        track: The voice's track sid now.
        speaker: Who is heard: identity and track sid.
    """

    def __init__(
        self,
        participant: rtc.LocalParticipant,
        teller: Teller,
        track: Callable[[], str],
        speaker: Callable[[], tuple[str, str]],
    ) -> None:
        """Nothing was said."""
        self._participant = participant
        self._teller = teller
        self._track = track
        self._speaker = speaker
        self._segments: dict[int, _Segment] = {}
        self._user_segment = 1

    def event(self, event: session_event_pb2.SessionEvent) -> None:
        """Takes what the session's events say about words."""
        match event.WhichOneof("event"):
            case "user_transcript":
                self._user(event.user_transcript)
            case "avatar_transcript":
                self._segment(event.turn).text = event.avatar_transcript.text
            case "turn_summary":
                segment = self._segments.get(event.turn)
                if segment is not None:
                    summary = event.turn_summary
                    segment.text, segment.over = summary.text, True
                    segment.spoken = max(segment.spoken, summary.heard_characters)
                    self._post(event.turn)

    def spoken(self, turn: int, text_end: int) -> None:
        """The turn's text was spoken up to ``text_end``, in code points."""
        segment = self._segment(turn)
        segment.spoken = max(segment.spoken, text_end)
        self._post(turn)

    def reconnected(self) -> None:
        """Streams that were open are broken: they begin anew."""
        for segment in self._segments.values():
            segment.writer, segment.written = None, 0

    def _segment(self, turn: int) -> _Segment:
        return self._segments.setdefault(turn, _Segment())

    def _post(self, turn: int) -> None:
        self._teller.post(lambda: self._write(turn), key=f"avatar {turn}")

    async def _write(self, turn: int) -> None:
        segment = self._segments.get(turn)
        if segment is None:
            return
        if segment.over:
            del self._segments[turn]
        new = segment.text[segment.written : segment.spoken]
        if new:
            if segment.writer is None:
                segment.writer = await self._participant.stream_text(
                    topic=TOPIC, attributes=self._attributes(turn, final=False)
                )
            await segment.writer.write(new)
            segment.written += len(new)
        if segment.over and segment.writer is not None:
            await segment.writer.aclose(attributes=self._attributes(turn, final=True))

    def _attributes(self, turn: int, final: bool) -> dict[str, str]:
        return _attributes(f"turn-{turn}", final, self._track())

    def _user(self, transcript: session_event_pb2.UserTranscript) -> None:
        segment, final = f"user-{self._user_segment}", transcript.final
        self._user_segment += final
        identity, track = self._speaker()
        if not identity or not transcript.text:
            return  # who spoke has left; or it was a cough

        async def tell() -> None:
            writer = await self._participant.stream_text(
                topic=TOPIC,
                attributes=_attributes(segment, final, track),
                sender_identity=identity,
            )
            await writer.write(transcript.text)
            await writer.aclose()

        self._teller.post(tell, key=segment)


def _attributes(segment: str, final: bool, track: str) -> dict[str, str]:
    attributes = {_SEGMENT: segment, _FINAL: "true" if final else "false"}
    return {**attributes, _TRACK: track} if track else attributes
