"""The default voice itself. It comes with the package, so nothing is fetched."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hibari.g2p import ASSETS
from stagekit.audio import Samples
from stagewire_tts.backend import Clause
from stagewire_tts.backends import hibari_model
from stagewire_tts.backends.hibari import _ARPABET, _STRESS, HibariBackend
from stagewire_tts.pacing import levels

pytestmark = pytest.mark.models

VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
STOPS_AND_NASALS = {"B", "D", "G", "K", "P", "T", "CH", "JH", "M", "N", "NG"}
OTHERS = {"DH", "F", "HH", "L", "R", "S", "SH", "TH", "V", "W", "Y", "Z", "ZH", "sil"}
ARPABET = VOWELS | STOPS_AND_NASALS | OTHERS
TEXTS = [
    "Hello there, I am your assistant, and I can help you today.",
    "Dr. Smith paid $12.50 on March 3rd, 2024 — wow!",
    '[hi](/bˈOO/) (well), "quoted" e.g. NASA\'s state-of-the-art mp3s... 5km/h?',
    "Schwarzenegger xqzzt Zürich naïve wtf",
    "Supercalifragilistic " * 9,
    "1234567890 " * 20,
    "a",
]


@pytest.fixture(scope="module")
def voice() -> HibariBackend:
    return HibariBackend()


def check(clause: Clause, text: str) -> None:
    assert clause.samples.dtype == np.float32
    assert np.all(np.isfinite(clause.samples))
    assert clause.phonemes[0].start == 0
    assert clause.phonemes[-1].end == len(clause.samples)
    assert {phoneme.symbol for phoneme in clause.phonemes} <= ARPABET
    for before, after in zip(clause.phonemes, clause.phonemes[1:], strict=False):
        assert before.start < before.end == after.start
    assert clause.words
    edges = [edge for word in clause.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    starts = {phoneme.start for phoneme in clause.phonemes}
    ends = {phoneme.end for phoneme in clause.phonemes}
    places = [edge for word in clause.words for edge in (word.text_start, word.text_end)]
    assert places == sorted(places)
    for word in clause.words:
        assert word.start in starts
        assert word.end in ends
        assert word.end > word.start
        assert any(c.isalnum() for c in text[word.text_start : word.text_end])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_times_are_contiguous_and_words_in_order(
    voice: HibariBackend, text: str, rate: float
) -> None:
    check(voice.synthesize(text, "heart", rate), text)


def test_every_sound_belongs_to_the_word_it_is_in(voice: HibariBackend) -> None:
    text = "My cat costs $5 today."
    clause = voice.synthesize(text, "heart", 1.0)
    sounds = {
        text[w.text_start : w.text_end]: [
            p.symbol for p in clause.phonemes if w.start <= p.start and p.end <= w.end
        ]
        for w in clause.words
    }
    assert sounds["My"] == ["M", "AY"]
    assert sounds["cat"] == ["K", "AE", "T"]
    assert sounds["costs"] == ["K", "AO", "S", "T", "S"]
    assert sounds["$5"] == ["F", "AY", "V", "D", "AA", "L", "AH", "R", "Z"]


def test_what_is_marked_as_silence_is_silent_and_speech_is_not(voice: HibariBackend) -> None:
    clause = voice.synthesize("Stop. Yes, of course, see you soon.", "heart", 1.0)
    loudness = levels(clause.samples, 240)
    for phoneme in clause.phonemes:
        inside = loudness[phoneme.start // 240 + 5 : phoneme.end // 240 - 5]
        if phoneme.symbol == "sil" and len(inside):
            assert np.median(inside) < -30
    spoken = sum(p.end - p.start for p in clause.phonemes if p.symbol != "sil")
    loud = 240 * int(np.sum(loudness > -30))
    assert spoken == pytest.approx(loud, rel=0.15)


def hiss(samples: Samples) -> list[float]:
    """Of each 12.5 ms, how far the level above 4 kHz is over that below 3 kHz, in bels."""
    padded = np.pad(samples, (300, 300))
    ratios = []
    for start in range(0, len(samples) - 299, 300):
        power = np.abs(np.fft.rfft(padded[start : start + 900] * np.hanning(900))) ** 2
        ratios.append(float(np.log10((power[150:].sum() + 1e-7) / (power[3:110].sum() + 1e-7))))
    return ratios


def test_sibilants_are_where_they_are_heard(voice: HibariBackend) -> None:
    """Of all shifts, the hiss above 4 kHz fits the sibilants' times best with (nearly) none."""
    clauses = [
        voice.synthesize(text, "heart", 1.0)
        for text in (
            "She sells sea shells by the sea shore.",
            "Sixty six fast ships sailed past the coast.",
            "Such a sad sunset, she said, is best seen in a silent city.",
        )
    ]

    def fit(shift: int) -> float:
        heard: list[float] = []
        told: list[float] = []
        for clause in clauses:
            marks = np.zeros(len(clause.samples) // 300)
            for phoneme in clause.phonemes:
                if phoneme.symbol in ("S", "SH", "CH", "Z", "JH"):
                    marks[phoneme.start // 300 : phoneme.end // 300] = 1.0
            loud = levels(clause.samples, 300)[: len(marks)] > -35
            heard += [h for h, now in zip(hiss(clause.samples), loud, strict=True) if now]
            told += list(np.roll(marks, -shift)[loud])
        return float(np.corrcoef(heard, told)[0, 1])

    best = max(range(-8, 9), key=fit)
    assert abs(best) <= 1, f"times are {12.5 * best} ms late"


def test_the_same_clause_always_sounds_the_same(voice: HibariBackend) -> None:
    first, second = (voice.synthesize("Same again?", "heart", 1.0) for _ in range(2))
    assert np.array_equal(first.samples, second.samples)


def test_markup_is_not_obeyed(voice: HibariBackend) -> None:
    marked = voice.synthesize("[hi](/bˈOO/)", "heart", 1.0)
    plain = voice.synthesize("hi", "heart", 1.0)
    assert [p.symbol for p in marked.phonemes] == [p.symbol for p in plain.phonemes]


@pytest.mark.parametrize("text", ["", " ", "...", "😀", "你好", "\0\u202e"])
def test_nothing_to_say(voice: HibariBackend, text: str) -> None:
    assert len(voice.synthesize(text, "heart", 1.0).samples) == 0


def test_the_rate(voice: HibariBackend) -> None:
    lengths = [
        len(voice.synthesize("Hello there, how are you?", "heart", rate).samples)
        for rate in (0.5, 1.0, 2.0)
    ]
    assert lengths[0] > 1.5 * lengths[1] > 2.2 * lengths[2]


def test_durations_are_exactly_the_audio() -> None:
    model = hibari_model.HibariModel()
    for characters in ("jˈɛs.", "həlˈO ðˈɛɹ, hˌW ˈɑɹ jˈu?"):
        for rate in (0.7, 1.0, 1.6):
            samples, units = model._run(characters, rate)
            assert len(units) == len(characters) + 2
            assert units.sum() * 600 == len(samples)


def test_a_model_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibari_model, "_UNIT", 601)
    with pytest.raises(RuntimeError, match="does not tell durations as expected"):
        hibari_model.HibariModel()


def test_every_phoneme_of_the_dictionaries_has_its_symbol() -> None:
    known = set(_ARPABET) | set(_STRESS)
    found: set[str] = set()

    def collect(entry: object) -> None:
        if isinstance(entry, str):
            found.update(entry)
        elif isinstance(entry, dict):
            for reading in entry.values():
                collect(reading)

    for name in ("gold", "silver"):
        packed = Path(ASSETS, f"lexicon_us_{name}.json.gz").read_bytes()
        collect(json.loads(gzip.decompress(packed)))
    assert found <= known
    vocabulary = set(json.loads(Path(ASSETS, "vocab.json").read_text("utf-8")))
    unknown_words = json.loads(Path(ASSETS, "oov.json").read_text("utf-8"))["out"]
    letters = {c for c in unknown_words if c in vocabulary and c.isalpha()}
    assert letters <= known
