"""Where the time of a turn went, as contiguous parts along the path that made the user wait.

No two clocks are compared. The orchestrator sees when it sent something to a stage and when the
answer came back; the stage says how long it waited and worked, by its own clock. The difference is
the hop's: network, proxies, and reading and writing on both sides. A stage that says nothing keeps
its time undivided; one that says more than was observed is cut down to that.

Work that ran ahead of the end of the user's turn costs only what is left of it when the part before
it ends, and what is left of it is taken from its end. So the parts never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown, LatencyPart
from stagewire.common.v1.timing_pb2 import StageTiming

PARTS = {
    "silence_detection": "the user's last sound, until enough silence had come to call it an end",
    "asr_network": "the way to asr with that silence, and the way back with the words",
    "asr_queue": "asr: the wait for a free decoder",
    "asr_final": "asr: settling the words",
    "endpointing": "the wait until the user's turn was judged to be over",
    "llm_retry": "tries of the llm call that broke before they gave anything",
    "llm_network": "the way to llm and back",
    "llm_queue": "llm: the wait for a free slot",
    "llm_first_token": "llm: the prompt, up to the first piece of the answer",
    "first_clause": "the answer grew to a clause that can be spoken",
    "tts_retry": "tries of the tts call that broke before they gave anything",
    "tts_network": "the way to tts and back",
    "tts_queue": "tts: the wait for a free worker",
    "tts_first_audio": "tts: the clause, up to its first sound",
    "motion_network": "the way to motion_bridge and back",
    "motion_queue": "motion_bridge: the wait for its engine",
    "motion_first_frame": "motion_bridge: the first motion to that sound",
    "motion_wait": "the wait for motion that did not come in time: the turn began without lips",
    "orchestrator": "the orchestrator's own time, and the wait for egress or a client to come back",
    "egress_network": "the way to egress: half of the way there and back",
    "egress": "egress: until the sound was given to the client's connection; where a motion engine "
    "publishes, until that said that it plays",
    "client_network": "the way to the client: half of the way there and back",
    "client_buffer": "the client: from the sound's arrival to the loudspeaker",
}
"""Every part and what it means, in the order in which they come; docs/latency.md shows them."""

Part = tuple[str, float]
"""A part's name and its seconds."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a stage says of its own time, in seconds of its own clock. Nobody vouches for it.

    Attributes:
        queue: From the trigger's arrival to the start of work.
        total: From the trigger's arrival to the sending of what this came with.
    """

    queue: float
    total: float

    @classmethod
    def read(cls, timing: StageTiming) -> Reported | None:
        """The contract's message; None when it says nothing."""
        if not timing.ByteSize():
            return None
        queue = _seconds(timing.queue_wait)
        total = queue + _seconds(timing.compute_to_first_output)
        if timing.HasField("since_trigger"):
            total = _seconds(timing.since_trigger)
        return cls(queue, total)

    def within(self, observed: float) -> Reported:
        """The same, as far as it can be true: neither negative nor longer than was observed."""
        total = min(max(0.0, self.total), max(0.0, observed))
        return Reported(min(max(0.0, self.queue), total), total)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What egress says when the client has begun to play, in seconds. Nobody vouches for it.

    Attributes:
        egress: Its share; the queue is all that the sound waited there.
        buffer: From the sound's arrival at the client to the loudspeaker; None when not told.
        played: How much had sounded when the client said so.
    """

    egress: Reported
    buffer: float | None = None
    played: float = 0.0


@dataclass(slots=True)
class Marks:
    """When things happened, in the caller's monotonic seconds; None until they do.

    Attributes:
        asked: The user's last speech reached us, or the text was typed.
        silence: The audio that showed the end of speech went to asr, or asr told of it.
        transcribed: The words were settled.
        committed: The user's turn was judged to be over.
        llm_started: The answer was asked for; before ``committed`` when it was speculative.
        llm_retried: The try that succeeded began; None when it was the first.
        first_token: The first text of the answer came.
        first_clause: The first clause went to tts.
        tts_retried: As for llm.
        first_audio: Its first sound came, and went to motion_bridge.
        first_motion: Its first motion came.
        sounded: Sound with motion went to the client.
        confirmed: Egress' first word of the client's playback came.
        asr: What asr said of its share.
        llm: What llm said.
        tts: What tts said.
        motion: What motion_bridge said.
        delivered: What egress said when the client had begun to play.
        moves: Motion was asked for.
    """

    asked: float | None = None
    silence: float | None = None
    transcribed: float | None = None
    committed: float | None = None
    llm_started: float | None = None
    llm_retried: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    tts_retried: float | None = None
    first_audio: float | None = None
    first_motion: float | None = None
    sounded: float | None = None
    confirmed: float | None = None
    asr: Reported | None = None
    llm: Reported | None = None
    tts: Reported | None = None
    motion: Reported | None = None
    delivered: Delivered | None = None
    moves: bool = False

    def breakdown(self) -> LatencyBreakdown | None:
        """The parts, or None when nobody asked (a greeting) or nothing sounded."""
        if self.asked is None or self.sounded is None:
            return None
        return _message([*self._to_sending(self.asked, self.sounded), *self._to_client()])

    def _to_sending(self, asked: float, sounded: float) -> Iterator[Part]:
        reached = asked
        for step in self._steps(sounded):
            if step.at is None:
                continue
            left = max(0.0, min(step.at, sounded) - reached)
            yield from step.divide(left)
            reached += left

    def _steps(self, sounded: float) -> list[_Step]:
        """The way of an answer, in the order in which its parts made the user wait."""
        speculative = (
            self.llm_started is not None
            and self.committed is not None
            and self.llm_started < self.committed
        )
        typed = self.silence is None
        endpointing = _Step("endpointing", None if typed else self.committed)
        return [
            _Step("silence_detection", self.silence),
            _Hop("asr_final", self.transcribed, "asr", self.silence, self.asr),
            *([] if speculative else [endpointing]),
            _Hop(
                "llm_first_token",
                self.first_token,
                "llm",
                self.llm_started,
                self.llm,
                self.llm_retried,
            ),
            _Step("first_clause", self.first_clause),
            _Hop(
                "tts_first_audio",
                self.first_audio,
                "tts",
                self.first_clause,
                self.tts,
                self.tts_retried,
            ),
            self._motion(sounded),
            *([endpointing] if speculative else []),
            _Step("orchestrator", sounded),
        ]

    def _motion(self, sounded: float) -> _Step:
        in_time = self.first_motion is not None and self.first_motion <= sounded
        if self.moves and not in_time:
            return _Step("motion_wait", sounded)
        return _Hop(
            "motion_first_frame", self.first_motion, "motion", self.first_audio, self.motion
        )

    def _to_client(self) -> Iterator[Part]:
        """What came after the sending, as far as it was told. What only the report took is no part.

        The report went back over the same two hops, and its way cost the user nothing.
        """
        if self.sounded is None or self.confirmed is None or self.delivered is None:
            return
        observed = max(0.0, self.confirmed - self.sounded)
        own = self.delivered.egress.within(observed)
        yield "egress_network", (observed - own.total) / 2
        yield "egress", own.queue
        if self.delivered.buffer is None:
            return
        there = own.total - own.queue  # from the giving to the connection to the client's report
        client = Reported(self.delivered.buffer, self.delivered.buffer + self.delivered.played)
        client = client.within(there)
        yield "client_network", (there - client.total) / 2
        yield "client_buffer", client.queue


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing on the way, and when it was done."""

    name: str
    at: float | None

    def divide(self, left: float) -> Iterable[Part]:
        """Names for the ``left`` seconds that the user waited for it."""
        yield self.name, left


@dataclass(frozen=True, slots=True)
class _Hop(_Step):
    """A step at a stage: what was sent when, and what the stage says of its share."""

    stage: str
    sent: float | None
    reported: Reported | None
    retried: float | None = None

    def divide(self, left: float) -> Iterable[Part]:
        """The stage's work last, before it its queue, and in front the way."""
        if self.at is None:
            return
        if self.retried is not None:
            lost = max(0.0, left - max(0.0, self.at - self.retried))
            left -= lost
            yield f"{self.stage}_retry", lost
        sent = self.sent if self.retried is None else self.retried
        if self.reported is None or sent is None:
            yield self.name, left
            return
        own = self.reported.within(self.at - sent)
        work = min(own.total - own.queue, left)
        queue = min(own.queue, left - work)
        yield f"{self.stage}_network", left - work - queue
        yield f"{self.stage}_queue", queue
        yield self.name, work


def _message(parts: Iterable[Part]) -> LatencyBreakdown:
    """Rounds the parts' ends, not the parts, so that they sum to the total to the nanosecond."""
    breakdown = LatencyBreakdown()
    seconds, reached = 0.0, 0
    for name, share in parts:
        seconds += share
        end = round(seconds * 1e9)
        breakdown.parts.append(LatencyPart(name=name, duration=_duration(end - reached)))
        reached = end
    breakdown.total.CopyFrom(_duration(reached))
    return breakdown


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9


def _duration(nanoseconds: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    return duration
