"""What asr reports: utterances in order, each with one final, all on the caller's samples."""

from __future__ import annotations

import asyncio
import random
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.stage import RATE, hum, silence
from contract.stages.asr import Asr
from contract.wire import Call

pytestmark = pytest.mark.about("asr")

Begin = Callable[..., Call]
PIECE = RATE // 20
# "he was not an ill disposed young man", read by a person.
CLIP = Path(__file__).parents[1] / "data" / "speech" / "librivox-0880.wav"


def clip() -> bytes:
    with wave.open(str(CLIP)) as recording:
        assert recording.getframerate() == RATE
        return recording.readframes(recording.getnframes())


def microphone(stage: Asr, data: bytes, start: int = 0) -> list[Any]:
    """50 ms messages."""
    return [
        stage.audio(data[at : at + 2 * PIECE], start + at // 2)
        for at in range(0, len(data), 2 * PIECE)
    ]


class Books:
    """Checks the order of a stream's reports."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped: set[int] = set()
        self.finals: dict[int, Any] = {}

    def check(self, message: Any) -> None:
        arm = message.WhichOneof("message")
        body = getattr(message, arm)
        if arm == "speech_started":
            assert body.utterance == self.started + 1, "numbered 1, 2, 3 …"
            self.started = body.utterance
        elif arm == "partial":
            assert body.utterance == self.started
            assert 1 <= body.from_utterance <= body.utterance
            assert 0 <= body.stable_characters <= len(body.text)
        elif arm == "speech_stopped":
            assert 1 <= body.utterance <= self.started
            assert body.utterance not in self.stopped
            assert body.heard_sample == 0 or body.heard_sample >= body.sample
            self.stopped.add(body.utterance)
        elif arm == "end_of_turn":
            assert body.utterance in self.stopped
            assert 0 <= body.probability <= 1
        elif arm == "final":
            assert body.utterance not in self.finals, "exactly one final for an utterance"
            assert 1 <= body.from_utterance <= body.utterance
            self.finals[body.utterance] = body
        else:
            assert arm == "going_away"


async def heard(stage: Asr, call: Call, *commands: Any, **fields: Any) -> tuple[Books, list[Any]]:
    """Everything reported of a whole stream."""
    await call.send(stage.open(**fields))
    ready = await call.receive()
    await call.send(*commands)
    messages = await call.until("final")
    await call.half_close()
    messages += await call.rest()
    books = Books()
    for message in messages:
        books.check(message)
    return books, [ready, *messages]


@pytest.mark.parametrize("first_sample", [0, 48_000])
async def test_speech(stage: Asr, begin: Begin, first_sample: int) -> None:
    speech = clip()
    said = silence(RATE // 2) + speech + silence(2 * RATE)
    books, messages = await heard(stage, begin(), *microphone(stage, said, first_sample))
    text = " ".join(final.text for final in books.finals.values()).lower()
    assert "young man" in text
    by_arm = {message.WhichOneof("message"): message for message in reversed(messages)}
    started, stopped = (
        by_arm["speech_started"].speech_started,
        by_arm["speech_stopped"].speech_stopped,
    )
    begun = first_sample + RATE // 2
    assert begun - RATE // 2 <= started.sample <= begun + RATE
    assert started.sample < stopped.sample <= begun + len(speech) // 2 + RATE // 2
    final = books.finals[1]
    assert final.language
    if "words" in messages[0].ready.features:
        assert final.words
        for word in final.words:
            assert word.text == final.text[word.text_start : word.text_end]
            assert begun - RATE // 2 <= word.start_sample < word.end_sample
            assert word.end_sample <= first_sample + len(said) // 2


async def test_push_to_talk_ends_without_silence(stage: Asr, begin: Begin) -> None:
    commands = [*microphone(stage, clip()), stage.request(finalize={})]
    books, _ = await heard(stage, begin(), *commands)
    assert "young" in books.finals[max(books.finals)].text.lower()


@pytest.mark.parametrize("sound", [silence(4 * RATE), hum(4 * RATE)], ids=["silence", "hum"])
async def test_no_words_where_nobody_speaks(stage: Asr, begin: Begin, sound: bytes) -> None:
    books, _ = await heard(stage, begin(), *microphone(stage, sound), stage.request(finalize={}))
    assert all(final.text == "" for final in books.finals.values())


async def test_a_commit_is_taken_at_any_time(stage: Asr, begin: Begin) -> None:
    call = begin()
    await call.send(stage.open(), *microphone(stage, clip()), stage.request(finalize={}))
    final = (await call.until("final"))[-1].final
    await call.send(stage.request(commit={"utterance": final.utterance}))
    await call.send(stage.request(commit={"utterance": final.utterance}))
    await call.half_close()
    assert all(not message.HasField("fault") for message in await call.rest())


@pytest.mark.parametrize("seed", range(3))
async def test_any_legal_order(stage: Asr, begin: Begin, seed: int) -> None:
    dice = random.Random(seed)
    sounds = [silence(RATE), hum(RATE // 2), clip()[: RATE * 2], silence(PIECE)]
    commands, at = [], 0
    for _ in range(14):
        choice = dice.random()
        if choice < 0.6:
            sound = dice.choice(sounds)
            commands += microphone(stage, sound, at)
            at += len(sound) // 2
        elif choice < 0.8:
            commands.append(stage.request(hint={"avatar_speaking": dice.random() < 0.5}))
        else:
            commands.append(stage.request(finalize={}))
    books, _ = await heard(stage, begin(), *commands, stage.request(finalize={}))
    assert set(books.finals) >= set(range(1, books.started + 1))


async def test_two_sessions_do_not_mix(stage: Asr, begin: Begin) -> None:
    talk = microphone(stage, clip() + silence(RATE))
    quiet = microphone(stage, silence(len(clip()) // 2 + RATE))
    finalize = stage.request(finalize={})
    (spoken, _), (silent, _) = await asyncio.gather(
        heard(stage, begin(), *talk, finalize), heard(stage, begin(), *quiet, finalize)
    )
    assert any(final.text for final in spoken.finals.values())
    assert all(final.text == "" for final in silent.finals.values())
