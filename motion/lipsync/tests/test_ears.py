"""Sounds heard from audio alone, by the real model; speech is synthesized or was recorded."""

from __future__ import annotations

import time
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from stagekit.model_fetch import ensure
from stagewire_lipsync import Frames, Performer, PhonemeTime, SphinxModel
from stagewire_lipsync.cepstra import Cepstra
from stagewire_lipsync.phoneme_ears import PhonemeEars
from stagewire_lipsync.sphinx import FILES
from stagewire_motion_codec.arkit52 import CHANNELS
from stagewire_tts.backends.hibari import HibariBackend

Samples = npt.NDArray[np.float32]
SPEECH = Path(__file__).parents[3] / "tests" / "data" / "speech"
JAW, PRESS, CLOSE, LIP = (
    CHANNELS.index(c) for c in ("jawOpen", "mouthPressLeft", "mouthClose", "mouthShrugLower")
)
MOUTH = [n for n, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth", "tongue"))]

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def model() -> SphinxModel:
    return SphinxModel(ensure("sphinx-en-us"))


@pytest.fixture(scope="module")
def said() -> tuple[Samples, list[PhonemeTime]]:
    """A sentence at 24 kHz that nothing was tuned on."""
    text = "Maybe my mother and Bob move five of the big boxes over to Paul's home before lunch."
    clause = HibariBackend().synthesize(text, "heart", 1.0)
    return clause.samples, [PhonemeTime(p.symbol, p.start, p.end) for p in clause.phonemes]


def recorded(name: str = "librivox-0870.wav") -> Samples:
    with wave.open(str(SPEECH / name)) as file:
        assert file.getframerate() == 16_000
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return pcm.astype(np.float32) / 32_768


def perform(face: Performer, samples: Samples, size: int) -> Frames:
    face.start()
    heard = [face.hear(samples[at : at + size]) for at in range(0, len(samples), size)]
    return Frames.join([*heard, face.finish()])


def test_lips_fit_what_is_heard(
    model: SphinxModel, said: tuple[Samples, list[PhonemeTime]]
) -> None:
    samples, phonemes = said
    weights = perform(Performer(24_000, 1, model), samples, 1_200).weights
    shut = (weights[:, JAW] - weights[:, CLOSE] < 0.06) & (weights[:, PRESS] > 0.25)

    def around(symbols: str) -> list[slice]:
        found = [p for p in phonemes if p.symbol in symbols.split()]
        return [slice(p.start // 480 - 1, p.end // 480 + 2) for p in found]

    closed = [bool(shut[window].any()) for window in around("P B M")]
    assert len(closed) >= 9
    assert np.mean(closed) > 0.75
    bitten = [float(weights[window, LIP].max()) > 0.15 for window in around("F V")]
    assert np.mean(bitten) > 0.7
    vowels = around("AA AE AH AO EH")
    assert np.mean([bool(shut[(w.start + w.stop) // 2]) for w in vowels]) < 0.15
    assert np.mean([weights[w, JAW].max() for w in vowels]) > 0.25


def test_a_pause_closes_the_mouth_within_150_ms(model: SphinxModel) -> None:
    speech = recorded("librivox-0880.wav")[8_000:24_000]
    samples = np.concatenate([speech, np.zeros(8_000, np.float32)])
    weights = perform(Performer(16_000, 1, model), samples, 800).weights[:, MOUTH]
    assert weights[:50].max() > 0.3
    assert weights[50 + 8 :].max() < 0.03


def test_the_chunks_do_not_matter(model: SphinxModel) -> None:
    samples = recorded()[:24_000]
    whole = perform(Performer(16_000, 1, model), samples, len(samples))
    for size in (1, 7, 160, 801):
        part = samples if size > 1 else samples[:4_000]
        pieces = perform(Performer(16_000, 1, model), part, size)
        same = len(pieces) - 8  # the end of a part is closed
        assert np.allclose(pieces.weights[:same], whole.weights[:same], atol=1e-5)
        assert np.allclose(pieces.head[:same], whole.head[:same], atol=1e-6)


def test_the_first_motion_comes_within_120_ms_of_audio(model: SphinxModel) -> None:
    for rate in (8_000, 22_050, 48_000):
        face = Performer(rate, 1, model)
        tenth = np.zeros(rate // 100, np.float32)
        pieces = next(n for n in range(1, 100) if len(face.hear(tenth)))
        assert pieces <= 12
        for _ in range(100):
            held = face._heard * 50 // rate - face._shown
            assert held <= 5
            face.hear(tenth)


@pytest.mark.parametrize(
    ("rate", "agreed"),
    [(8_000, 0.5), (11_025, 0.6), (22_050, 0.9), (24_000, 0.9), (44_100, 0.9), (48_000, 0.9)],
)
def test_it_hears_the_same_at_any_rate(model: SphinxModel, rate: int, agreed: float) -> None:
    """But for a telephone's rates, which lack half of what a consonant sounds like."""
    samples = recorded()
    wanted = PhonemeEars(16_000, model).hear(samples, last=True)
    resampled = soxr.resample(samples, 16_000, rate)
    found = PhonemeEars(rate, model).hear(resampled, last=True)[: len(wanted)]
    same = found.argmax(1) == wanted[: len(found)].argmax(1)
    assert same.mean() > agreed


def test_cepstra_hardly_depend_on_the_rate() -> None:
    time_ = np.arange(48_000) / 48_000
    voice = sum(np.sin(2 * np.pi * 150 * n * time_ + n * n) / n for n in range(1, 40)) / 10
    one = Cepstra(48_000).push(voice.astype(np.float32))[5:-5]
    other = Cepstra(16_000).push(voice[::3].astype(np.float32))[5:-5]
    assert np.abs(one - other).mean() < 1


@pytest.mark.parametrize("more", [3, pytest.param(59, marks=pytest.mark.slow)])
def test_an_hour_takes_no_more_memory_than_a_minute(model: SphinxModel, more: int) -> None:
    face, second = Performer(8_000, 1, model), recorded()[:16_000:2]
    rest = np.zeros(8_000, np.float32)

    def minutes(count: int) -> int:
        for _ in range(count):
            face.hear(second)
            for _ in range(70 - len(second) // 8_000):
                # Told, as to hear an hour of speech takes a minute.
                at = face._heard
                face.expect(
                    [PhonemeTime("AA", at, at + 4_000), PhonemeTime("M", at + 4_000, at + 8_000)]
                )
                face.hear(rest)
        # What the face has allocated, whatever the rest of the process does meanwhile.
        ours = tracemalloc.Filter(True, "*/stagewire_lipsync/*")
        held = tracemalloc.take_snapshot().filter_traces([ours])
        return sum(trace.size for trace in held.traces)

    tracemalloc.start()
    try:
        minute = minutes(1)
        assert 0 < minutes(more) < minute + 100_000
    finally:
        tracemalloc.stop()


def test_it_is_ahead_of_real_time(model: SphinxModel) -> None:
    """Measured at 0.03 of real time; the bound allows a busy machine."""
    face, samples = Performer(16_000, 1, model), recorded()
    begin = time.perf_counter()
    perform(face, samples, 800)
    assert time.perf_counter() - begin < 0.5 * len(samples) / 16_000


def test_files_of_another_model_are_refused(model: SphinxModel, tmp_path: Path) -> None:
    folder = ensure("sphinx-en-us")
    with pytest.raises(OSError, match="means"):
        SphinxModel(tmp_path)
    for broken in FILES:
        for name in FILES:
            content = (folder / name).read_bytes()
            tmp_path.joinpath(name).write_bytes(content[:300] if name == broken else content)
        with pytest.raises(ValueError, match=broken):
            SphinxModel(tmp_path)
