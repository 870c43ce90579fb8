"""One session: microphone in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stagekit.audio import Samples

from stagewire_asr.backend import Emit, EndOfTurn, Options, SpeechStarted, SpeechStopped
from stagewire_asr.backends.whisper.engine import Engine
from stagewire_asr.backends.whisper.mel import SAMPLE_RATE
from stagewire_asr.backends.whisper.recording import Recording
from stagewire_asr.backends.whisper.segmenter import (
    Action,
    Closed,
    Opened,
    PartialDue,
    Segmenter,
    State,
    Tuning,
    TurnCheckDue,
    TurnLimit,
)
from stagewire_asr.backends.whisper.spans import LONGEST_SPAN_SAMPLES, Clip
from stagewire_asr.backends.whisper.transcriber import Transcriber
from stagewire_asr.backends.whisper.turn import WINDOW_SAMPLES

# The first sound of a word is often too soft for the voice activity model, and so is the last.
_BEFORE_SAMPLES = 300 * SAMPLE_RATE // 1000
_AFTER_SAMPLES = 200 * SAMPLE_RATE // 1000
_SLICE_SAMPLES = SAMPLE_RATE  # a large message is heard in slices of 1 s


class WhisperSession:
    """Implements :class:`stagewire_asr.backend.Session`.

    Args:
        engine: The models.
        tuning: Of the segmenter.
        options: The session's.
        emit: Takes the events.
        tasks: Runs the turn checks and the decoding.
        clock: ``time.monotonic``.
    """

    def __init__(
        self,
        engine: Engine,
        tuning: Tuning,
        options: Options,
        emit: Emit,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], float],
    ) -> None:
        """Nothing heard yet."""
        self._engine = engine
        self._emit = emit
        self._tasks = tasks
        self._clock = clock
        self._ear = engine.new_ear()
        self._segmenter = Segmenter(tuning)
        self._recording = Recording(LONGEST_SPAN_SAMPLES)
        self._transcriber = Transcriber(engine, options, emit, clock)
        self._decoding = tasks.create_task(self._transcriber.run())
        self._opened = 0  # where speech of the newest utterance began
        self._clip_start = 0  # where its audio begins
        self._clip_end = 0  # where that of the last closed one ended
        self._turn_start = 0  # where the user's turn began, at the earliest
        self._judging = False

    async def feed(self, samples: Samples) -> None:
        """Hears more."""
        arrived = self._clock()
        for start in range(0, len(samples), _SLICE_SAMPLES):
            heard = samples[start : start + _SLICE_SAMPLES]
            probabilities = await self._engine.listen(self._ear, heard)
            self._recording.append(heard)
            for probability in probabilities:
                for action in self._segmenter.hear(probability):
                    await self._act(action, arrived)

    async def hint(self, *, avatar_speaking: bool) -> None:
        """Is strict while the avatar speaks."""
        self._segmenter.avatar_speaking = avatar_speaking

    async def finalize(self) -> None:
        """Ends the utterance, with all the audio that has come."""
        now = self._clock()
        for action in self._segmenter.finalize():
            await self._act(action, now)

    async def commit(self, utterance: int) -> None:
        """Forgets what was taken."""
        self._segmenter.settle(utterance)
        self._transcriber.commit(utterance)
        if utterance >= self._segmenter.utterance:
            self._turn_start = self._segmenter.sample

    async def finish(self) -> None:
        """Answers what was heard: no more will come."""
        if self._segmenter.state is State.SPEAKING:
            await self.finalize()
        await self._transcriber.finish()
        self._decoding.cancel()

    async def _act(self, action: Action, now: float) -> None:
        match action:
            case Opened(utterance, sample):
                self._opened = sample
                self._clip_start = max(self._clip_end, sample - _BEFORE_SAMPLES)
                self._transcriber.open(utterance)
                await self._emit(SpeechStarted(utterance, sample))
            case PartialDue(utterance):
                now_sample = self._segmenter.sample
                await self._transcriber.guess(self._clip(utterance, now_sample, now_sample))
            case Closed(utterance, sample):
                await self._emit(SpeechStopped(utterance, sample, self._segmenter.sample))
                self._clip_end = self._end_of_clip(sample)
                clip = self._clip(utterance, self._clip_end, sample)
                await self._transcriber.settle(clip, now)
            case TurnCheckDue() if not self._judging:
                self._judging = True
                end = self._segmenter.sample
                start = max(self._turn_start, end - WINDOW_SAMPLES)
                judging = self._judge(action, self._recording.between(start, end))
                self._tasks.create_task(judging)
            case TurnLimit(utterance, silence_samples):
                await self._emit(EndOfTurn(utterance, 1.0, silence_samples))

    def _clip(self, utterance: int, end: int, speech_end: int) -> Clip:
        samples = self._recording.between(self._clip_start, end)
        return Clip(utterance, self._clip_start, samples, (self._opened, speech_end))

    def _end_of_clip(self, speech_end: int) -> int:
        if speech_end == self._opened:  # an empty utterance
            return self._clip_start
        return min(self._recording.end_sample, speech_end + _AFTER_SAMPLES)

    async def _judge(self, due: TurnCheckDue, turn: Samples) -> None:
        try:
            probability = await self._engine.turn_probability(turn)
        finally:
            self._judging = False
        if self._segmenter.awaits_turn_end(due.utterance):
            await self._emit(EndOfTurn(due.utterance, probability, due.silence_samples))
