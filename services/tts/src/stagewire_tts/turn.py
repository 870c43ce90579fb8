"""One turn: texts in; words, phonemes and audio out, with offsets that count over the turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np
from google.protobuf import duration_pb2
from stagekit import attributes as a
from stagekit.audio import Resampler, to_pcm
from stagekit.errors import StageError
from stagekit.metrics import StageMetrics
from stagekit.outbox import Outbox
from stagekit.tracing import Span
from stagewire.common.v1 import audio_pb2, error_pb2, timing_pb2
from stagewire.tts.v1 import tts_pb2

from stagewire_tts.backend import Backend, Clause
from stagewire_tts.pacing import pace, pause_after, rescale
from stagewire_tts.split import Piece, split

MAX_TEXT = 4_000
"""Code points in one text message at most; the contract's number."""
_MESSAGE_SECONDS = 0.06
# The first message is what the listener waits for; 40 ms is the least that is worth a message.
_FIRST_MESSAGE_SECONDS = 0.04

Response = tts_pb2.SynthesizeResponse


@dataclass(frozen=True)
class Order:
    """What `open` asked for, checked: the same for the whole turn."""

    voice: str
    rate: float
    sample_rate: int
    words: bool
    phonemes: bool


class Turn:
    """Speaks the texts of one turn in order.

    Args:
        order: What was asked for.
        backend: Who speaks.
        workers: Where the backend may block.
        outbox: Where messages go; when it is full, nothing more is synthesized.
        span: The turn's; each clause that is synthesized hangs under it.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        order: Order,
        backend: Backend,
        workers: Executor,
        outbox: Outbox[Response],
        span: Span,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is spoken yet."""
        self._order, self._backend, self._workers = order, backend, workers
        self._outbox, self._span, self._clock = outbox, span, clock
        self._characters = 0
        self._samples = 0
        self._last_text = ""
        self._first_text_at: float | None = None
        self._started_at: float | None = None
        self._first_output_at: float | None = None

    async def speak(self, text: str) -> None:
        """Speaks a text message, clause by clause.

        Raises:
            StageError: INVALID_FIELD for a text that is too long, BACKEND_FAILED.
        """
        if self._first_text_at is None:
            self._first_text_at = self._clock()
        if len(text) > MAX_TEXT:
            raise StageError(
                error_pb2.ERROR_REASON_INVALID_FIELD,
                f"text.text has {len(text)} code points; at most {MAX_TEXT} are taken in one "
                "message: send clauses",
            )
        base = self._characters
        self._characters += len(text)
        for piece in split(text, first=not self._samples):
            await self._speak_piece(piece, base)

    async def _speak_piece(self, piece: Piece, base: int) -> None:
        loop = asyncio.get_running_loop()
        with self._span.child("tts clause", {a.CHARACTERS: len(piece.text)}) as span:
            span.content(a.CONTENT_AVATAR, piece.text)
            span.enter()  # there, too, lines of the log name the session
            run = copy_context().run
            work = loop.run_in_executor(self._workers, run, self._synthesize, piece.text)
            clause, started = await work
            span.set({a.AUDIO_SECONDS: len(clause.samples) / self._order.sample_rate})
        if self._started_at is None:
            self._started_at = started
        if not len(clause.samples):
            return
        await self._send_times(clause, base + piece.start, piece.text)
        await self._send_audio(clause)
        self._last_text = piece.text

    def _synthesize(self, text: str) -> tuple[Clause, float]:
        """On a worker thread: the clause, paced, at the turn's rate; and when work began."""
        started = self._clock()
        clause = self._backend.synthesize(text, self._order.voice, self._order.rate)
        if not len(clause.samples):
            return clause, started
        source, target = self._backend.sample_rate, self._order.sample_rate
        pause = pause_after(self._last_text, self._order.rate) if self._samples else 0.0
        paced = pace(clause, source, pause)
        if source == target:
            return paced, started
        timed = rescale(paced, source, target)
        # A resampler of its own for each clause: its edges are silent, so there is no seam to
        # hear, and nothing of a clause is held back until the next.
        samples = Resampler(source, target).push(paced.samples, last=True)
        length = (2 * len(paced.samples) * target + source) // (2 * source)
        fitted = np.zeros(length, np.float32)
        fitted[: len(samples)] = samples[:length]
        return Clause(fitted, timed.words, timed.phonemes), started

    async def _send_times(self, clause: Clause, text_start: int, text: str) -> None:
        offset = self._samples
        if self._order.words and clause.words:
            words = [
                timing_pb2.Word(
                    text=text[w.text_start : w.text_end],
                    start_sample=offset + w.start,
                    end_sample=offset + w.end,
                    text_start=text_start + w.text_start,
                    text_end=text_start + w.text_end,
                )
                for w in clause.words
            ]
            await self._outbox.put(Response(words=tts_pb2.Words(words=words)))
        if self._order.phonemes and clause.phonemes:
            phonemes = [
                timing_pb2.Phoneme(
                    symbol=p.symbol, start_sample=offset + p.start, end_sample=offset + p.end
                )
                for p in clause.phonemes
            ]
            alphabet = timing_pb2.PHONEME_ALPHABET_ARPABET
            message = tts_pb2.Phonemes(alphabet=alphabet, phonemes=phonemes)
            await self._outbox.put(Response(phonemes=message))

    async def _send_audio(self, clause: Clause) -> None:
        for start, end in self._messages(len(clause.samples)):
            audio = audio_pb2.Audio(
                data=to_pcm(clause.samples[start:end]), start_sample=self._samples
            )
            self._samples += end - start
            response = Response(audio=audio)
            if self._first_output_at is None:
                self._first_output_at = self._clock()
                response.timing.CopyFrom(self._timing())
            await self._outbox.put(response)

    def _messages(self, length: int) -> Iterator[tuple[int, int]]:
        rate = self._order.sample_rate
        start = 0
        while start < length:
            seconds = _MESSAGE_SECONDS if self._samples else _FIRST_MESSAGE_SECONDS
            end = min(length, start + round(seconds * rate))
            yield start, end
            start = end

    def tell(self, metrics: StageMetrics) -> None:
        """Says on its span what came of the turn, also of one that was cut short."""
        seconds = self._samples / self._order.sample_rate
        self._span.set({a.CHARACTERS: self._characters, a.AUDIO_SECONDS: seconds})
        metrics.worked(self._span, self._timing())

    def done(self) -> Response:
        """The turn's last message."""
        done = tts_pb2.Done(
            samples=self._samples, characters=self._characters, timing=self._timing()
        )
        return Response(done=done)

    def _timing(self) -> timing_pb2.StageTiming:
        """What was measured up to now."""
        timing = timing_pb2.StageTiming()
        if self._first_text_at is not None:
            timing.since_trigger.CopyFrom(_duration(self._clock() - self._first_text_at))
            if self._started_at is not None:
                timing.queue_wait.CopyFrom(_duration(self._started_at - self._first_text_at))
                if self._first_output_at is not None:
                    compute = self._first_output_at - self._started_at
                    timing.compute_to_first_output.CopyFrom(_duration(compute))
        return timing


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(max(0, int(seconds * 1e9)))
    return duration
