"""Whisper on CTranslate2: from a stretch of speech to text."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
from stagekit.audio import Samples
from tokenizers import Tokenizer

from stagewire_asr.backends.whisper.mel import SAMPLE_RATE, Spectrogram, log_mel
from stagewire_asr.backends.whisper.words import TimedWord, timed_words

logger = logging.getLogger(__name__)

# Whisper was trained on windows of 30 s (3000 frames), but its encoder takes shorter ones, and the
# encoder is most of the work. Below 10 s it begins to repeat itself; from 10 s on it is as exact.
_SHORTEST_WINDOW, _LONGEST_WINDOW = 1000, 3000
_PADDING = np.zeros(SAMPLE_RATE // 2, np.float32)  # the last word needs silence after it

# What `whisper/transcribe.py` takes for no speech, and for a text that repeats itself.
_NO_SPEECH = 0.6
_MOST_COMPRESSIBLE = 2.4

# A bound on a text that never ends. English has about 5 tokens a second, Hindi twice as many.
_TOKENS_PER_SECOND, _TOKENS_AT_LEAST, _TOKENS_AT_MOST = 12, 20, 224
_CONTEXT_TOKENS = 448  # what Whisper's decoder holds: phrases before the text, and the text
_MOST_PHRASE_TOKENS = 200


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was said.

    Attributes:
        text: Empty when it was not speech.
        confidence: The mean probability of a token, 0 to 1.
        words: When asked for; samples count from the first one decoded.
    """

    text: str = ""
    confidence: float = 0.0
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True, slots=True)
class _Task:
    features: Spectrogram
    start: list[int]
    before: list[int]
    most_tokens: int
    words: bool


class Decoder:
    """One Whisper model; all sessions share it, from any thread.

    Args:
        folder: ``model.bin``, ``config.json``, ``tokenizer.json`` and ``vocabulary.txt``.
        threads: Of one decode.
        workers: Decodes that may run at the same time.
    """

    def __init__(self, folder: Path, threads: int, workers: int = 1) -> None:
        """Loads it and runs it once, which takes a second."""
        self._model = ctranslate2.models.Whisper(
            str(folder),
            device="cpu",
            compute_type="int8",
            intra_threads=threads,
            inter_threads=workers,
        )
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.multilingual: bool = self._model.is_multilingual
        self.decode(np.zeros(SAMPLE_RATE, np.float32), "en")

    def languages(self) -> tuple[str, ...]:
        """Whisper's codes of the languages it knows."""
        if not self.multilingual:
            return ("en",)
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        first, last = vocabulary["<|startoftranscript|>"], vocabulary["<|translate|>"]
        found = ((i, token[2:-2]) for token, i in vocabulary.items() if first < i < last)
        return tuple(code for _, code in sorted(found))

    def decode(
        self,
        samples: Samples,
        language: str,
        *,
        phrases: Sequence[str] = (),
        words: bool = False,
        careful: bool = False,
    ) -> Hypothesis:
        """Recognizes up to 30 s of speech at 16 kHz.

        Args:
            samples: The speech; what is over 30 s is not heard.
            language: Whisper's code, one of :meth:`languages`.
            phrases: Words and names that are likely.
            words: Also time the words.
            careful: Decode again, in Whisper's own window, when the text repeats itself.

        Returns:
            An empty hypothesis for no speech, and for a text that goes on repeating itself.
        """
        features = log_mel(np.concatenate([samples, _PADDING]))[:, :_LONGEST_WINDOW]
        most = _TOKENS_AT_LEAST + int(_TOKENS_PER_SECOND * len(samples) / SAMPLE_RATE)
        task = _Task(features, self._start(language), self._before(phrases), most, words)
        found = self._run(task, _SHORTEST_WINDOW)
        if repeats(found.text) and careful:
            logger.info("decoding again: the text repeated itself")
            found = self._run(task, _LONGEST_WINDOW)
            return Hypothesis() if _compressible(found.text) else found
        return Hypothesis() if repeats(found.text) else found

    def _run(self, task: _Task, window: int) -> Hypothesis:
        heard = task.features.shape[1]
        silence = ((0, 0), (0, max(0, window - heard)))
        padded = np.pad(task.features, silence, constant_values=task.features.min())
        encoded = self._model.encode(ctranslate2.StorageView.from_array(padded[None]))
        # With phrases before it, Whisper takes noise for speech, so it is asked without them.
        if task.before and self._generate(encoded, task.start, 1).no_speech_prob > _NO_SPEECH:
            return Hypothesis()
        result = self._generate(encoded, [*task.before, *task.start], task.most_tokens)
        tokens = result.sequences_ids[0]
        text = self._text(tokens).strip()
        if not text or (not task.before and result.no_speech_prob > _NO_SPEECH):
            return Hypothesis()
        timed: tuple[TimedWord, ...] = ()
        if task.words:
            aligned = self._model.align(encoded, task.start, [tokens], heard)[0]
            timed = timed_words(tokens, self._text, aligned.alignments, text)
        return Hypothesis(text, min(1.0, math.exp(result.scores[0])), timed)

    def _generate(
        self, encoded: ctranslate2.StorageView, prompt: list[int], most_tokens: int
    ) -> ctranslate2.models.WhisperGenerationResult:
        # CTranslate2 gives a text half of `max_length`, as Whisper does of its context.
        tokens = min(most_tokens, _TOKENS_AT_MOST)
        return self._model.generate(
            encoded,
            [[*prompt, self._id("<|notimestamps|>")]],
            beam_size=1,
            max_length=min(_CONTEXT_TOKENS, max(2 * tokens, tokens + len(prompt) + 1)),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]

    def _before(self, phrases: Sequence[str]) -> list[int]:
        """The tokens of a text that, as Whisper is told, was said just before."""
        if not phrases:
            return []
        text = f" {', '.join(phrases)}."
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._id("<|startofprev|>"), *tokens[:_MOST_PHRASE_TOKENS]]

    def _start(self, language: str) -> list[int]:
        tokens = ["<|startoftranscript|>"]
        if self.multilingual:
            tokens += [f"<|{language}|>", "<|transcribe|>"]
        return [self._id(token) for token in tokens]

    def _id(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the model's tokenizer has no {token}")
        return found

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens))


def repeats(text: str) -> bool:
    """Whether a text goes round in circles, as Whisper does when it has lost the thread."""
    words = text.lower().split()
    for length in range(2, 6):
        for start in range(len(words) - 3 * length + 1):
            phrase = words[start : start + length]
            if words[start : start + 3 * length] == phrase * 3 and len(set(phrase)) > 1:
                return True
    return _compressible(text)


def _compressible(text: str) -> bool:
    data = text.encode()
    return len(data) > _MOST_COMPRESSIBLE * len(zlib.compress(data))
