"""One session's texts: what is decoded, in which order, and what is said about it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_asr.backend import Emit, Failed, Final, Options, Partial, Timing, Word
from stagewire_asr.backends.whisper.decoder import Hypothesis
from stagewire_asr.backends.whisper.engine import Engine
from stagewire_asr.backends.whisper.spans import Clip, Span, Uncommitted

logger = logging.getLogger(__name__)

_MOST_WAITING = 4  # utterances that wait for their text before the microphone has to wait


@dataclass(slots=True)
class _Settling:
    """An utterance that waits for its final text."""

    span: Span
    trigger: float


class Transcriber:
    """Decodes one thing at a time: final texts first, a partial text only when nothing waits.

    Final texts come in the utterances' order, one for each. When several wait, which only happens
    on an overloaded machine, the newest is decoded: it covers the older ones, which get the text
    known so far.

    Args:
        engine: The models.
        options: The session's.
        emit: Takes the events.
        clock: In seconds.
    """

    def __init__(
        self, engine: Engine, options: Options, emit: Emit, clock: Callable[[], float]
    ) -> None:
        """Nothing to do yet."""
        self._engine = engine
        self._options = options
        self._emit = emit
        self._clock = clock
        self._uncommitted = Uncommitted()
        self._waiting: deque[_Settling] = deque()
        self._guess: Span | None = None
        self._current: Span | None = None  # what is being settled
        self._busy = False
        self._open = 0  # the utterance in progress; 0 for none
        self._changed = asyncio.Condition()
        self._known = _Known()

    def open(self, utterance: int) -> None:
        """An utterance began."""
        self._open = utterance

    async def guess(self, clip: Clip) -> None:
        """Wants a partial text of the utterance in progress; none comes while decoding."""
        if self._busy or self._waiting or not self._options.wants_partials:
            return
        async with self._changed:
            self._guess = self._uncommitted.with_open(clip)
            self._changed.notify_all()

    async def settle(self, clip: Clip, trigger: float) -> None:
        """Wants the final text of the utterance that has ended; waits while too many wait."""
        self._open = 0
        span = self._uncommitted.close(clip)
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING)
            self._waiting.append(_Settling(span, trigger))
            self._guess = None
            self._changed.notify_all()

    def commit(self, utterance: int) -> None:
        """No later text covers ``utterance`` or those before it."""
        self._uncommitted.commit(utterance)
        for settling in self._waiting:
            settling.span = settling.span.after(utterance)
        if self._current is not None:
            self._current = self._current.after(utterance)

    async def finish(self) -> None:
        """Waits until every utterance has its text."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._busy)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            async with self._changed:
                self._busy = False
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._waiting or self._guess)
                self._busy = True
                guess, self._guess = self._guess, None
            if self._waiting:
                await self._settle_next()
            elif guess is not None:
                await self._say_partial(guess)

    async def _settle_next(self) -> None:
        settling = self._waiting.popleft()
        span = settling.span
        if self._waiting and self._waiting[0].span.says_more_than(span):
            known = Hypothesis(self._known.text_of(span))
            return await self._say_final(span, known, settling.trigger, self._clock())
        started = self._clock()
        hypothesis = self._known.settled(span)
        while hypothesis is None:
            self._current = span
            started, hypothesis = await self._decode(span)
            if self._current.from_utterance > span.from_utterance:
                span, hypothesis = self._current, None  # a commit came: the text covers too much
        self._current = None
        self._known.settle(span, hypothesis)
        if not hypothesis.text and len(span.clips) == 1:
            self._uncommitted.mute(span.utterance)
        await self._say_final(span, hypothesis, settling.trigger, started)

    async def _decode(self, span: Span) -> tuple[float, Hypothesis]:
        try:
            return await self._engine.settle(span.samples(), self._options)
        except RuntimeError as error:
            await self._say_failed(error)
            return self._clock(), Hypothesis(self._known.text_of(span))

    async def _say_partial(self, span: Span) -> None:
        try:
            hypothesis = await self._engine.guess(span.samples(), self._options)
        except RuntimeError as error:
            return await self._say_failed(error)
        if hypothesis is None or not hypothesis.text:
            return
        if span.utterance != self._open or span.from_utterance <= self._uncommitted.committed:
            return
        stable = self._known.guess(span, hypothesis.text)
        partial = Partial(span.utterance, span.from_utterance, hypothesis.text, stable)
        await self._emit(partial)

    async def _say_final(
        self, span: Span, hypothesis: Hypothesis, trigger: float, started: float
    ) -> None:
        words = tuple(
            Word(
                word.text,
                span.stream_sample(word.start_sample),
                span.stream_sample(word.end_sample),
                word.text_start,
                word.text_end,
            )
            for word in hypothesis.words
        )
        await self._emit(
            Final(
                utterance=span.utterance,
                from_utterance=span.from_utterance,
                text=hypothesis.text,
                language=self._options.language,
                confidence=hypothesis.confidence,
                words=words,
                timing=Timing(trigger, started, self._clock()),
            )
        )

    async def _say_failed(self, error: RuntimeError) -> None:
        logger.error("decoding failed: %s", error)
        reason = error_pb2.ERROR_REASON_BACKEND_FAILED
        await self._emit(Failed(StageError(reason, "the recognizer failed; its log has it")))


class _Known:
    """The latest text, and what of it holds."""

    def __init__(self) -> None:
        self._from_utterance = 0
        self._text = ""
        self._settled_audible: tuple[int, ...] = ()
        self._settled = Hypothesis()

    def text_of(self, span: Span) -> str:
        """The text known for a span, as far as it is."""
        return self._text if span.from_utterance == self._from_utterance else ""

    def guess(self, span: Span, text: str) -> int:
        """Takes a partial text; returns how many leading characters it shares with the latest."""
        stable = stable_characters(self.text_of(span), text)
        self._from_utterance, self._text = span.from_utterance, text
        return stable

    def settle(self, span: Span, hypothesis: Hypothesis) -> None:
        """Takes a final text."""
        self._from_utterance, self._text = span.from_utterance, hypothesis.text
        self._settled_audible, self._settled = span.audible, hypothesis

    def settled(self, span: Span) -> Hypothesis | None:
        """The final text of a span that sounds as the one settled last, or of a silent one."""
        if not span.audible:
            return Hypothesis()
        return self._settled if span.audible == self._settled_audible else None


def stable_characters(before: str, now: str) -> int:
    """How many leading code points of ``now`` are unlikely to change.

    Those of the words on which two successive texts agree, but never the last word: it may have
    been cut off in the middle.
    """
    words, stable = now.split(), 0
    for word, earlier in zip(words[:-1], before.split(), strict=False):
        if word != earlier:
            break
        stable = now.index(word, stable) + len(word)
    return stable
