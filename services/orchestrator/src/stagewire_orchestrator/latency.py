"""Where the time of a turn went, as contiguous parts along the path that made the user wait."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown, LatencyPart


@dataclass(slots=True)
class Marks:
    """When things happened, in the caller's monotonic seconds; None until they do.

    Attributes:
        asked: The user's last speech reached us, or the text was typed.
        silence: Asr reported the end of speech.
        transcribed: The words were settled.
        committed: The user's turn was judged to be over.
        llm_started: The answer was asked for; before ``committed`` when it was speculative.
        first_token: The first text of the answer came.
        first_clause: The first clause went to tts.
        first_audio: Its first sound came.
        first_motion: Its first motion came.
        sounded: Sound with motion went to the client.
    """

    asked: float | None = None
    silence: float | None = None
    transcribed: float | None = None
    committed: float | None = None
    llm_started: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    first_audio: float | None = None
    first_motion: float | None = None
    sounded: float | None = None

    def breakdown(self) -> LatencyBreakdown | None:
        """The parts, or None when nobody asked (a greeting) or nothing sounded.

        Work that ran ahead of the end of the user's turn costs only what is left of it when the
        part before it ends; so the parts never overlap and their sum is the total.
        """
        if self.asked is None or self.sounded is None:
            return None
        speculative = (
            self.llm_started is not None
            and self.committed is not None
            and self.llm_started < self.committed
        )
        endpointing = ("end_of_turn", self.committed)
        points = [
            ("silence_detection", self.silence),
            ("asr_final", self.transcribed),
            *([] if speculative else [endpointing]),
            ("llm_first_token", self.first_token),
            ("first_clause", self.first_clause),
            ("tts_first_audio", self.first_audio),
            ("motion_first_frame", self.first_motion),
            *([endpointing] if speculative else []),
            ("orchestrator", self.sounded),
        ]
        parts: list[LatencyPart] = []
        reached = self.asked
        for name, at in points:
            if at is None:
                continue
            at = min(at, self.sounded)
            parts.append(LatencyPart(name=name, duration=_duration(max(0.0, at - reached))))
            reached = max(reached, at)
        return LatencyBreakdown(total=_duration(self.sounded - self.asked), parts=parts)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
