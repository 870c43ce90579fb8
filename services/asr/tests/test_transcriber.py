"""Which texts are decoded and said, on a recognizer that this file scripts."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
from stagewire_asr.backend import Failed, Final, Options, Partial
from stagewire_asr.backends.whisper.decoder import Hypothesis
from stagewire_asr.backends.whisper.spans import Clip
from stagewire_asr.backends.whisper.transcriber import Transcriber
from stagewire_asr.backends.whisper.words import TimedWord

WORDS = ["", "one", "two", "three", "four", "five", "six"]


class ScriptedEngine:
    """A fake recognizer: utterance n, whose samples all are n, says the n-th word.

    While ``gate`` is closed, decoding waits.
    """

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.decoded = []

    async def settle(self, samples, options):
        said = self._said(samples)
        self.decoded.append(said)
        await self.gate.wait()
        if said == "five":
            raise RuntimeError("out of memory")
        return 0.0, Hypothesis(said, 0.9, (TimedWord(said, 0, 150, 0, len(said)),))

    async def guess(self, samples, options):
        await self.gate.wait()
        return Hypothesis(f"{self._said(samples)} …")

    def _said(self, samples):
        numbers = [int(n) for n in dict.fromkeys(samples.tolist())]
        return " ".join(WORDS[n] for n in numbers if WORDS[n])


@asynccontextmanager
async def transcriber():
    engine, events = ScriptedEngine(), []

    async def emit(event):
        events.append(event)

    options = Options("en", wants_partials=True, wants_words=True)
    made = Transcriber(engine, options, emit, lambda: 1.0)
    work = asyncio.create_task(made.run())
    try:
        yield made, engine, events
    finally:
        work.cancel()


def clip(utterance, length=100, sound=None):
    value = utterance if sound is None else sound
    start = 1000 * utterance
    return Clip(utterance, start, np.full(length, value, np.float32), (start, start + length))


async def pause():
    for _ in range(20):
        await asyncio.sleep(0)


def finals(events):
    return [(e.from_utterance, e.utterance, e.text) for e in events if isinstance(e, Final)]


async def test_each_final_covers_what_was_not_committed():
    async with transcriber() as (made, _, events):
        for utterance in (1, 2):
            await made.settle(clip(utterance), 0)
            await made.finish()
        made.commit(2)
        await made.settle(clip(3), 0)
        await made.finish()
    assert finals(events) == [(1, 1, "one"), (1, 2, "one two"), (3, 3, "three")]


async def test_words_are_placed_in_the_stream():
    async with transcriber() as (made, _, events):
        await made.settle(clip(1), 0)
        await made.settle(clip(2), 0)
        await made.finish()
    (word,) = events[-1].words
    assert (word.start_sample, word.end_sample) == (1000, 2050)


async def test_when_late_the_newest_is_decoded_and_every_utterance_has_one_final():
    async with transcriber() as (made, engine, events):
        engine.gate.clear()
        for utterance in (1, 2, 3, 4):
            await made.settle(clip(utterance), 0)
            await pause()
        engine.gate.set()
        await made.finish()
    assert engine.decoded == ["one", "one two three four"]
    assert finals(events) == [
        (1, 1, "one"),
        (1, 2, "one"),
        (1, 3, "one"),
        (1, 4, "one two three four"),
    ]


async def test_a_commit_during_a_decode_is_kept():
    async with transcriber() as (made, engine, events):
        await made.settle(clip(1), 0)
        await made.finish()
        engine.gate.clear()
        await made.settle(clip(2), 0)
        await pause()
        made.commit(1)
        engine.gate.set()
        await made.finish()
    assert finals(events) == [(1, 1, "one"), (2, 2, "two")]


async def test_a_turn_committed_before_its_final_keeps_all_its_words():
    async with transcriber() as (made, engine, events):
        engine.gate.clear()
        await made.settle(clip(1), 0)
        await pause()
        await made.settle(clip(2), 0)
        made.commit(2)
        engine.gate.set()
        await made.settle(clip(3), 0)
        await made.finish()
    assert finals(events) == [(1, 1, "one"), (1, 2, "one two"), (3, 3, "three")]


async def test_commits_are_also_kept_by_utterances_that_wait():
    async with transcriber() as (made, engine, events):
        engine.gate.clear()
        for utterance in (1, 2, 3):
            await made.settle(clip(utterance), 0)
            await pause()
        made.commit(1)
        made.commit(2)
        engine.gate.set()
        await made.finish()
    assert finals(events) == [(1, 1, "one"), (2, 2, "two"), (3, 3, "three")]


async def test_an_empty_utterance_repeats_the_text_of_those_it_covers():
    async with transcriber() as (made, engine, events):
        await made.settle(clip(1), 0)
        await made.settle(clip(2, length=0), 0)
        await made.finish()
        made.commit(2)
        await made.settle(clip(3, length=0), 0)
        await made.finish()
    assert finals(events) == [(1, 1, "one"), (1, 2, "one"), (3, 3, "")]
    assert engine.decoded == ["one"]


async def test_noise_is_not_heard_again_with_the_next_utterance():
    async with transcriber() as (made, engine, events):
        await made.settle(clip(1, sound=0), 0)
        await made.finish()
        await made.settle(clip(2), 0)
        await made.finish()
    assert finals(events) == [(1, 1, ""), (1, 2, "two")]
    assert engine.decoded == ["", "two"]


async def test_partials_cover_the_same_and_tell_what_is_stable():
    async with transcriber() as (made, _, events):
        await made.settle(clip(1), 0)
        await made.finish()
        made.open(2)
        await made.guess(clip(2))
        await pause()
        await made.guess(clip(2))
        await pause()
    assert events[1:] == [Partial(2, 1, "one two …", 3), Partial(2, 1, "one two …", 7)]


async def test_a_partial_that_comes_too_late_is_not_said():
    async with transcriber() as (made, engine, events):
        engine.gate.clear()
        made.open(1)
        await made.guess(clip(1))
        await pause()
        await made.settle(clip(1), 0)
        engine.gate.set()
        await made.finish()
    assert not [e for e in events if isinstance(e, Partial)]
    assert finals(events) == [(1, 1, "one")]


async def test_a_failed_decode_is_reported_and_its_final_still_comes():
    async with transcriber() as (made, _, events):
        await made.settle(clip(5), 0)
        await made.finish()
        made.commit(5)
        await made.settle(clip(6), 0)
        await made.finish()
    assert isinstance(events[0], Failed)
    assert finals(events) == [(5, 5, ""), (6, 6, "six")]
