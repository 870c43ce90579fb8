from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import numpy as np
import pytest
from stagekit.testing import channel_to
from stagewire_tts.backend import Clause, PhonemeTime, WordTime
from stagewire_tts.service import create_stage
from stagewire_tts.settings import TtsSettings


class FakeBackend:
    """Hums 100 ms per word, between silences; a fake that knows its times exactly.

    ``gate`` holds every synthesis back until it is set.
    """

    name = "fake"
    models = ()
    voices = ("hum", "low")
    languages = ("en-US",)
    sample_rate = 24_000
    features = ("words", "phonemes")

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.texts: list[str] = []
        self.entered = threading.Event()

    def synthesize(self, text: str, voice: str, rate: float) -> Clause:
        self.texts.append(text)
        self.entered.set()
        assert self.gate.wait(10)
        words, phonemes = [], [PhonemeTime("sil", 0, 4_801)]
        at = position = 0
        for written in text.split():
            at = text.index(written, position)
            position = at + len(written)
            if not any(c.isalnum() for c in written):
                continue
            start = phonemes[-1].end
            end = start + round(2_401 / rate)
            words.append(WordTime(at, position, start, end))
            phonemes.append(PhonemeTime("AA", start, end))
        if not words:
            return Clause(np.zeros(0, np.float32))
        phonemes.append(PhonemeTime("sil", phonemes[-1].end, phonemes[-1].end + 7_003))
        samples = 0.5 * np.sin(np.arange(phonemes[-1].end) / 20).astype(np.float32)
        samples[:4_801] = samples[-7_003:] = 0
        return Clause(samples.astype(np.float32), tuple(words), tuple(phonemes))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


@pytest.fixture
def serve(backend: FakeBackend) -> Serve:
    """Serves the fake on loopback; yields a channel and keeps the stage for looking at."""

    @asynccontextmanager
    async def serving(**settings: object) -> AsyncIterator[grpc.aio.Channel]:
        stage = create_stage(backend, TtsSettings(**settings))
        async with channel_to(stage) as channel:
            channel.stage = stage
            yield channel

    return serving
