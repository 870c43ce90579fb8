"""The default voice: hibari, on one CPU core, with exact word and phoneme times."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from hibari.g2p import G2P
from stagekit.audio import Samples

from stagewire_tts.backend import Clause, PhonemeTime, WordTime
from stagewire_tts.backends.hibari_model import MAX_CHARACTERS, SAMPLE_RATE, HibariModel
from stagewire_tts.backends.hibari_text import Spoken, normalize
from stagewire_tts.pacing import levels

# misaki's alphabet, and what hibari's net for unknown words adds, in ARPAbet. A character that is
# not here is punctuation, or changes the sound before it.
_ARPABET = {
    **{"A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "i": "IY", "u": "UW"},
    **{"ɑ": "AA", "ɔ": "AO", "ə": "AH", "ɛ": "EH", "ɜ": "ER", "ɪ": "IH", "ʊ": "UH", "ʌ": "AH"},
    **{"æ": "AE", "ɐ": "AH", "ᵊ": "AH", "ᵻ": "IH", "a": "AA", "e": "EH", "o": "AO", "y": "Y"},
    **{"ɒ": "AA", "ɚ": "ER", "b": "B", "d": "D", "f": "F", "h": "HH", "j": "Y", "k": "K"},
    **{"l": "L", "m": "M", "n": "N", "p": "P", "s": "S", "t": "T", "v": "V", "w": "W", "z": "Z"},
    **{"ɡ": "G", "ŋ": "NG", "ɹ": "R", "ʃ": "SH", "ʒ": "ZH", "ð": "DH", "θ": "TH", "ʤ": "JH"},
    **{"ʧ": "CH", "T": "T", "ɾ": "T", "ʔ": "T", "r": "R", "ʁ": "R", "x": "HH"},
}
_STRESS = "ˈˌ"  # its time is the following sound's: that is what is heard there
_SPACE = " "  # shared by its neighbours; words are not separated by silence
_QUIET_DB = -35.0
_FRAME = SAMPLE_RATE // 80
_SHORTEST = SAMPLE_RATE // 40

_WARM_UP = (
    "Hello.",
    "Yes, of course I can help you with that.",
    "The weather in Paris is sunny today, with a high of 72°F, and I would suggest that you go for "
    "a long walk along the river before dinner.",
)


@dataclass(frozen=True)
class _Sound:
    """A phoneme and the written word (an index, None for none) that it belongs to."""

    symbol: str
    start: int
    end: int
    word: int | None


class HibariBackend:
    """Speaks American English with the voice "heart"."""

    name = "hibari"
    models = ("hibari-tts heart",)
    voices = ("heart",)
    languages = ("en-US",)
    sample_rate = SAMPLE_RATE
    features = ("words", "phonemes")

    def __init__(self) -> None:
        """Loads the model and its dictionaries, and warms them up: about two seconds."""
        self._model = HibariModel()
        self._g2p = G2P()
        for sentence in _WARM_UP:
            self.synthesize(sentence, self.voices[0], 1.0)

    def synthesize(self, text: str, voice: str, rate: float) -> Clause:
        """See :class:`stagewire_tts.backend.Backend`."""
        words = normalize(text)
        characters = list(self._phonemize(words))
        if not any(c in _ARPABET for c, _ in characters):
            return Clause(np.zeros(0, np.float32))
        parts = [self._speak(run, rate) for run in _runs(characters)]
        samples = np.concatenate([clause_samples for clause_samples, _ in parts])
        sounds: list[_Sound] = []
        offset = 0
        for part_samples, part_sounds in parts:
            sounds += [_moved(sound, offset) for sound in part_sounds]
            offset += len(part_samples)
        return Clause(
            samples,
            tuple(_word_times(words, sounds)),
            tuple(PhonemeTime(s.symbol, s.start, s.end) for s in _without_twin_silences(sounds)),
        )

    def _phonemize(self, words: list[Spoken]) -> Iterator[tuple[str, int | None]]:
        """Phoneme characters and the index of the word that each belongs to.

        The dictionary reads the clause as a whole (the sound of "the" or "read" depends on the
        neighbours) and answers with tokens whose texts, joined, are the text it was given: their
        positions say whose they are.
        """
        text = ""
        starts: list[int] = []
        for spoken in words:
            starts.append(len(text))
            text += f"{spoken.say}{spoken.pause} "
        position = 0
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(text)):
            position = max(position, text.find(token.text, position))
            word = bisect.bisect_right(starts, position) - 1
            for character in token.phonemes or "":
                if character in self._model.vocabulary:
                    yield character, word if character in _ARPABET else None
            if token.whitespace:
                yield _SPACE, None
            position += len(token.text)

    def _speak(
        self, run: list[tuple[str, int | None]], rate: float
    ) -> tuple[Samples, list[_Sound]]:
        speech = self._model.speak("".join(c for c, _ in run), rate)
        edges, total = list(speech.edges), len(speech.samples)
        timed = [(c, word, edges[i], edges[i + 1]) for i, (c, word) in enumerate(run)]
        sounds = [_Sound("sil", 0, edges[0], None), *_sounds(timed)]
        sounds.append(_Sound("sil", edges[-1], total, None))
        sounds = [s for s in _without_twin_silences(sounds) if s.end > s.start]
        loud = levels(speech.samples, _FRAME) > _QUIET_DB
        return speech.samples, list(_ended_when_quiet(sounds, loud))


def _runs(characters: list[tuple[str, int | None]]) -> Iterator[list[tuple[str, int | None]]]:
    """Runs that the model can take, cut at spaces; nearly always one."""
    while len(characters) > MAX_CHARACTERS:
        spaces = [i for i, (c, _) in enumerate(characters[:MAX_CHARACTERS]) if c == _SPACE]
        cut = spaces[-1] if spaces and spaces[-1] > 0 else MAX_CHARACTERS
        yield characters[:cut]
        characters = characters[cut:]
    yield characters


def _sounds(timed: list[tuple[str, int | None, int, int]]) -> Iterator[_Sound]:
    """Characters as sounds: what is no sound of its own goes to its neighbours."""
    start: int | None = None  # where the coming sound begins, if earlier than its own character
    pending: _Sound | None = None
    for character, word, begin, end in timed:
        begin = begin if start is None else start
        if character in _STRESS:
            start = begin
        elif character == _SPACE and pending is not None and pending.symbol != "sil":
            start = (begin + end) // 2
            pending = replace(pending, end=start)
        elif character in _ARPABET or pending is None or _is_pause(character):
            if pending is not None:
                yield pending
            pending = _Sound(_ARPABET.get(character, "sil"), begin, end, word)
            start = None
        else:  # a length mark and the like
            pending = replace(pending, end=end)
            start = None
    if pending is not None:
        yield replace(pending, end=timed[-1][3])


def _is_pause(character: str) -> bool:
    return not character.isalpha() and character not in "ː̃"


def _without_twin_silences(sounds: list[_Sound]) -> list[_Sound]:
    merged: list[_Sound] = []
    for sound in sounds:
        if merged and sound.symbol == merged[-1].symbol == "sil":
            merged[-1] = replace(merged[-1], end=sound.end)
        else:
            merged.append(sound)
    return merged


def _ended_when_quiet(sounds: list[_Sound], loud: npt.NDArray[np.bool_]) -> Iterator[_Sound]:
    """Moves the end of each sound before a silence to where it can no longer be heard.

    The model gives much of a pause to the sound before it, up to 300 ms at a sentence's end.
    """
    silence_start: int | None = None
    for sound, following in zip(sounds, [*sounds[1:], None], strict=True):
        if silence_start is not None:
            sound = replace(sound, start=silence_start)
            silence_start = None
        if sound.symbol != "sil" and following is not None and following.symbol == "sil":
            heard = np.flatnonzero(loud[sound.start // _FRAME : -(-sound.end // _FRAME)])
            last = (sound.start // _FRAME + int(heard[-1]) + 2) * _FRAME if len(heard) else 0
            silence_start = min(sound.end, max(last, sound.start + _SHORTEST))
            sound = replace(sound, end=silence_start)
        yield sound


def _moved(sound: _Sound, offset: int) -> _Sound:
    return replace(sound, start=sound.start + offset, end=sound.end + offset)


def _word_times(words: list[Spoken], sounds: list[_Sound]) -> Iterator[WordTime]:
    """From the first to the last sound of each written word that sounds at all."""
    for index, word in enumerate(words):
        own = [sound for sound in sounds if sound.word == index]
        if own:
            yield WordTime(word.start, word.end, own[0].start, own[-1].end)


def create() -> HibariBackend:
    """The entry point."""
    return HibariBackend()
