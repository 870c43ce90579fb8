"""One session's record: follows what the machine is told and what it wants done.

It keeps what happened when; words and loudness only when content is kept. It is bounded: the oldest
entries go first. No I/O, and of the clock only the date of its beginning: every method that needs
the time takes ``now``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

from stagekit.errors import reason_name
from stagekit.turn_spans import end_reason
from stagewire.common.v1.session_event_pb2 import LatencyBreakdown, SessionEvent
from stagewire.common.v1.timing_pb2 import Word

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import PARTS
from stagewire_orchestrator.timeline import model
from stagewire_orchestrator.timeline.sound import STEP_SECONDS, Peaks, Playback

MAX_ENTRIES = 4_000
"""Spans, and as many moments and words, of one session; about an hour of lively talk."""
_MAX_TURNS = 1_000
_MAX_WORDS = 2_000  # of one turn
_MAX_TEXT = 4_000  # characters of one text
_ENTRY_BYTES = 250  # an object with a few numbers


@dataclass(slots=True)
class _Span:
    lane: model.Lane
    turn: int
    start: float
    first: float | None = None
    end: float | None = None
    text: str = ""


@dataclass(slots=True)
class _Turn:
    number: int
    playback: Playback
    spans: dict[model.Lane, _Span] = field(default_factory=dict)
    peaks: Peaks = field(default_factory=Peaks)
    words: list[Word] = field(default_factory=list)
    sounded_at: float | None = None
    played_samples: int = 0
    latency: LatencyBreakdown | None = None
    reason: str = ""
    user: str = ""
    avatar: str = ""
    heard_characters: int = 0


class Recording:
    """Follows one session.

    Args:
        session_id: Its id.
        avatar_id: Its profile.
        content: Whether words and loudness may be kept.
        now: Monotonic seconds.

    Attributes:
        trace_id: Its trace.
        size: About how many bytes the record took when its last turn ended.
    """

    def __init__(self, session_id: str, avatar_id: str, *, content: bool, now: float) -> None:
        """The session begins."""
        self.session_id = session_id
        self.content = content
        self.trace_id = ""
        self.size = 0
        self._avatar_id = avatar_id
        self._began, self._start_time = now, datetime.now(UTC)
        self._latest = now
        self._end_reason = ""
        self._hertz = 1
        self._spans: deque[_Span] = deque(maxlen=MAX_ENTRIES)
        self._moments: deque[model.Moment] = deque(maxlen=MAX_ENTRIES)
        self._turns: deque[_Turn] = deque(maxlen=_MAX_TURNS)
        self._dropped = 0
        self._utterance: _Span | None = None
        self._settling: _Span | None = None
        self._microphone = Peaks()
        self._asked = ""

    # --- what happens ------------------------------------------------------------------------

    def hear(self, pcm: bytes, now: float) -> None:
        """The microphone; kept as loudness alone."""
        if self.content:
            self._microphone.put(now - self._began, pcm)

    def note(self, event: e.Event, commands: Iterable[c.Command], now: float) -> None:
        """The machine took ``event`` and wants ``commands`` done."""
        self._latest = now
        self._note_event(event, now)
        for command in commands:
            self._note_command(command, now)

    def end(self, reason: str, now: float) -> None:
        """The session is over."""
        self._latest, self._end_reason = now, reason
        for span in self._spans:
            span.end = now if span.end is None else span.end
        self._measure()

    def _note_event(self, event: e.Event, now: float) -> None:
        match event:
            case e.Started():
                self._hertz = event.voice_hertz
            case e.SpeechStarted():
                self._close(self._utterance, now)
                start = now if event.spoken_at is None else event.spoken_at
                self._utterance = self._open("user", 0, start)
            case e.SpeechStopped():
                self._close(self._utterance, event.spoken_at)
                self._close(self._settling, now)
                known = now if event.known_at is None else event.known_at
                self._settling = self._open("asr", 0, known)
            case e.Final():
                self._close(self._settling, now)
                for span in (self._settling, self._utterance):
                    if span is not None and self.content:
                        span.text = event.text[:_MAX_TEXT]
                self._settling = None
            case e.AsrLost():
                self._close(self._utterance, now)
                self._close(self._settling, now)
            case e.UserText():
                self._moment(now, "typed", 0, event.text if self.content else "")
            case e.ClientJoined():
                self._moment(now, "joined")
            case e.ClientLeft():
                self._moment(now, "left")
            case e.LlmDelta():
                self._first("llm", event.turn, now)
            case e.LlmDone():
                self._finish("llm", event.turn, now)
            case e.TtsAudio():
                self._first("tts", event.turn, now)
                self._voice(event)
            case e.TtsWords():
                if self.content and (turn := self._turn(event.turn)) is not None:
                    turn.words.extend(event.words[: _MAX_WORDS - len(turn.words)])
            case e.TtsDone():
                self._finish("tts", event.turn, now)
            case e.StageFailed():
                self._finish("llm" if event.stage == "llm" else "tts", event.turn, now)
            case e.MotionFrames():
                self._first("motion", event.turn, now)
            case e.MotionEnded():
                self._finish("motion", event.turn, now)
            case e.Played():
                self._played(event.turn, event.samples, now)
            case e.EgressEnded():
                self._played(event.turn, event.played_samples, now)
                self._finish("egress", event.turn, now)

    def _note_command(self, command: c.Command, now: float) -> None:
        match command:
            case c.StartLlm():
                self._begin("llm", command.turn, now)
            case c.FeedTts():
                self._begin("tts", command.turn, now)
            case c.MoveAudio():
                self._begin("motion", command.turn, now)
            case c.CancelCalls():
                self._finish("llm", command.turn, now)
                self._finish("tts", command.turn, now)
            case c.InterruptMotion():
                self._finish("motion", command.turn, now)
            case c.StartPlaying():
                self._begin("egress", command.turn, now)
                if (turn := self._turn(command.turn)) is not None:
                    turn.sounded_at = now
            case c.InterruptPlaying():
                self._moment(now, "interruption", command.turn)
            case c.Announce():
                self._told(command.event, now)

    def _told(self, event: SessionEvent, now: float) -> None:
        match event.WhichOneof("event"):
            case "user_transcript" if event.user_transcript.final and self.content:
                asked = f"{self._asked} {event.user_transcript.text}".strip()
                self._asked = asked[:_MAX_TEXT]
            case "avatar_transcript":
                turn = self._turn(event.turn)
                if turn is not None and self.content:
                    turn.user, self._asked = turn.user or self._asked, ""
                    turn.avatar = event.avatar_transcript.text[:_MAX_TEXT]
            case "latency":
                if (turn := self._turn(event.turn)) is not None:
                    turn.latency = event.latency
            case "notice":
                reason = reason_name(event.notice.reason)
                self._moment(now, "fault", event.turn, f"{reason}: {event.notice.message}")
            case "turn_summary":
                self._summarized(event, now)

    def _summarized(self, event: SessionEvent, now: float) -> None:
        turn, summary = self._turn(event.turn), event.turn_summary
        if turn is None:
            return
        turn.reason = end_reason(summary.reason).upper()
        turn.heard_characters = summary.heard_characters
        if self.content:
            turn.avatar = summary.text[:_MAX_TEXT]
        for span in turn.spans.values():
            self._close(span, now)
        self._measure()

    # --- keeping -----------------------------------------------------------------------------

    def _turn(self, number: int) -> _Turn | None:
        """The turn, new or known; None for one that was forgotten."""
        for turn in reversed(self._turns):
            if turn.number == number:
                return turn
        if not number or (self._turns and number < self._turns[-1].number):
            return None
        self._dropped += len(self._turns) == self._turns.maxlen
        self._turns.append(_Turn(number, Playback(self._hertz)))
        return self._turns[-1]

    def _open(self, lane: model.Lane, turn: int, start: float) -> _Span:
        self._dropped += len(self._spans) == self._spans.maxlen
        span = _Span(lane, turn, start)
        self._spans.append(span)
        return span

    @staticmethod
    def _close(span: _Span | None, now: float) -> None:
        if span is not None and span.end is None:
            span.end = max(now, span.start)

    def _begin(self, lane: model.Lane, number: int, now: float) -> None:
        """Opens a turn's span in a lane, once."""
        turn = self._turn(number)
        if turn is not None and lane not in turn.spans:
            turn.spans[lane] = self._open(lane, number, now)

    def _first(self, lane: model.Lane, number: int, now: float) -> None:
        turn = self._turn(number)
        if turn is not None and (span := turn.spans.get(lane)) is not None and span.first is None:
            span.first = now

    def _finish(self, lane: model.Lane, number: int, now: float) -> None:
        turn = self._turn(number)
        if turn is not None:
            self._close(turn.spans.get(lane), now)

    def _voice(self, event: e.TtsAudio) -> None:
        turn = self._turn(event.turn)
        if turn is not None and self.content:
            turn.peaks.put(event.start_sample / self._hertz, event.data)

    def _played(self, number: int, samples: int, now: float) -> None:
        turn = self._turn(number)
        if turn is None or turn.sounded_at is None:
            return
        turn.played_samples = max(turn.played_samples, samples)
        turn.playback.report(samples, now)
        if turn.playback.began is not None:
            self._begin("avatar", number, turn.playback.began)
            turn.spans["avatar"].end = turn.playback.ended
            self._first("egress", number, turn.playback.began)

    def _moment(self, now: float, kind: str, turn: int = 0, text: str = "") -> None:
        self._dropped += len(self._moments) == self._moments.maxlen
        at = self._milliseconds(now)
        self._moments.append(
            model.Moment.model_construct(at=at, kind=kind, turn=turn, text=text[:_MAX_TEXT])
        )

    # --- telling -----------------------------------------------------------------------------

    def _measure(self) -> None:
        entries = len(self._spans) + len(self._moments) + 2 * len(self._turns)
        texts = sum(len(span.text) for span in self._spans)
        for turn in self._turns:
            entries += len(turn.words)
            texts += len(turn.user) + len(turn.avatar) + len(turn.peaks.values)
        self.size = _ENTRY_BYTES * entries + texts + len(self._microphone.values)

    def summary(self) -> model.Summary:
        """What a list of sessions shows of it."""
        totals = [_ms(turn.latency.total.ToNanoseconds()) for turn in self._turns if turn.latency]
        return model.Summary(
            session_id=self.session_id,
            avatar_id=self._avatar_id,
            trace_id=self.trace_id,
            start_time=self._start_time,
            duration=self._milliseconds(self._latest),
            end_reason=self._end_reason,
            turns=sum(turn.sounded_at is not None for turn in self._turns),
            median_total=round(median(totals), 1) if totals else None,
        )

    def timeline(self) -> model.Timeline:
        """Everything that is kept."""
        return model.Timeline(
            session=self.summary(),
            content=self.content,
            dropped=self._dropped,
            spans=[self._tell_span(span) for span in self._spans],
            moments=list(self._moments),
            words=[word for turn in self._turns for word in self._tell_words(turn)],
            waveforms=self._waveforms(),
            turns=[self._tell_turn(turn) for turn in self._turns],
            meanings=PARTS,
        )

    def _tell_span(self, span: _Span) -> model.Span:
        return model.Span(
            lane=span.lane,
            turn=span.turn,
            start=self._milliseconds(span.start),
            first=None if span.first is None else self._milliseconds(span.first),
            end=None if span.end is None else self._milliseconds(span.end),
            text=span.text,
        )

    def _tell_turn(self, turn: _Turn) -> model.Turn:
        told = model.Turn(
            turn=turn.number,
            reason=turn.reason,
            user=turn.user,
            avatar=turn.avatar,
            heard_characters=turn.heard_characters,
        )
        if turn.latency is None or turn.sounded_at is None:
            return told
        told.total = _ms(turn.latency.total.ToNanoseconds())
        before = 0.0
        for part in turn.latency.parts:
            milliseconds = _ms(part.duration.ToNanoseconds())
            told.parts.append(model.Part(name=part.name, milliseconds=milliseconds))
            if not part.name.startswith(("egress", "client")):  # those come after the sending
                before += milliseconds
        told.asked_at = round(self._milliseconds(turn.sounded_at) - before, 1)
        return told

    def _tell_words(self, turn: _Turn) -> Iterable[model.SpokenWord]:
        for word in turn.words:
            start, end = turn.playback.at(word.start_sample), turn.playback.at(word.end_sample)
            if start is not None and end is not None:
                yield model.SpokenWord(
                    turn=turn.number,
                    text=word.text,
                    start=self._milliseconds(start),
                    end=self._milliseconds(end),
                    heard=word.end_sample <= turn.played_samples,
                )

    def _waveforms(self) -> list[model.Waveform]:
        if not self.content:
            return []
        step = STEP_SECONDS * 1000
        told = [
            model.Waveform(lane="user", start=0.0, step=step, peaks=list(self._microphone.values))
        ]
        for turn in self._turns:
            began, ended = turn.playback.began, turn.playback.ended
            if began is not None and ended is not None:
                told.append(
                    model.Waveform(
                        lane="avatar",
                        turn=turn.number,
                        start=self._milliseconds(began),
                        step=step,
                        peaks=list(turn.playback.spread(turn.peaks)),
                        heard=_ms(round(1e9 * (ended - began))),
                    )
                )
        return told

    def _milliseconds(self, time: float) -> float:
        return round(1000 * max(0.0, time - self._began), 1)


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
