"""What else can hear sounds in a voice, measured like the lip-sync engine; none of it is used.

    npm pack @met4citizen/headaudio@0.1.0 && tar xzf met4citizen-headaudio-0.1.0.tgz
    pip install hama==1.7.0
    OMP_NUM_THREADS=1 python tests/bench/lipsync_rejected.py package/dist/model-en-mixed.bin

Each takes the place of the engine's ears; the mouth is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
from lipsync_quality import HELD, Engine, report, speech
from stagewire_lipsync import Performer
from stagewire_lipsync.articulation import NAMES, SILENCE, SYMBOLS, presence
from stagewire_lipsync.cepstra import RATE
from stagewire_lipsync.ipa import arpabet

Array = npt.NDArray[np.float64]
Samples = npt.NDArray[np.float32]
HERTZ = 16_000
STEP = HERTZ // RATE


class Ears:
    """Hears at 16 kHz; what was heard at a time is asked of ``presences``."""

    look_ahead = 0.0

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.start()

    def start(self) -> None:
        self._stream = soxr.ResampleStream(self._rate, HERTZ, 1, dtype="float32")
        self.samples: Samples = np.zeros(0, np.float32)
        self._step = 0

    def hear(self, samples: Samples, last: bool = False) -> Array:
        """Settles all steps whose look-ahead was heard."""
        more = self._stream.resample_chunk(samples, last=last)
        ahead = int(self.look_ahead * HERTZ)
        self.samples = np.concatenate([self.samples, more, np.zeros(ahead if last else 0)])
        steps = np.arange(self._step, (len(self.samples) - ahead) // STEP + 1)
        self._step += len(steps)
        return self.presences(steps) if len(steps) else np.zeros((0, len(NAMES)))

    def presences(self, steps: npt.NDArray[np.int64]) -> Array:
        raise NotImplementedError


class HeadAudio(Ears):
    """@met4citizen/headaudio 0.1.0 (MIT): the nearest of Gaussian prototypes to 12 cepstra."""

    look_ahead = 256 / HERTZ
    visemes = ("AA", "EH", "IY", "AO", "UW", "P", "S", "TH", "D", "F", "K", "N", "R", "CH", "sil")

    def __init__(self, sample_rate: int, model: Path) -> None:
        records = np.frombuffer(model.read_bytes(), "<f4").reshape(-1, 2 + 12 + 78)
        heads = np.frombuffer(model.read_bytes(), np.uint8).reshape(len(records), -1)[:, :8]
        self._sounds = [self.visemes[head[7]] for head in heads]
        self._means = records[:, 2:14].astype(float)
        self._inverses = np.zeros((len(records), 12, 12))
        lower = np.tril_indices(12)
        self._inverses[:, lower[0], lower[1]] = records[:, 14:]
        self._inverses[:, lower[1], lower[0]] = records[:, 14:]
        super().__init__(sample_rate)

    def presences(self, steps: npt.NDArray[np.int64]) -> Array:
        padded = np.concatenate([np.zeros(257), self.samples])
        padded = padded[1:] - 0.97 * padded[:-1]
        frames = padded[steps[:, None] * STEP + np.arange(512)]
        power = np.abs(np.fft.rfft(frames * np.hamming(512))[:, :256]) ** 2 / 512
        number = np.arange(1, 13)
        cosines = np.cos(np.pi * np.outer(number, np.arange(40) + 0.5) / 40) * np.sqrt(2 / 40)
        cepstra = np.log10(power @ self._mel().T + 1e-10) @ cosines.T
        cepstra = np.tanh(cepstra * (1 + 11 * np.sin(np.pi * number / 22)))
        apart = cepstra[:, None] - self._means
        distances = np.einsum("tpi,pij,tpj->tp", apart, self._inverses, apart)
        rows = np.zeros((len(steps), len(NAMES)))
        for row, nearest, energy in zip(rows, distances.argmin(1), power.sum(1), strict=True):
            quiet = np.log10(energy + 1e-10) < -5  # its gate
            row[:] = SILENCE if quiet else presence(self._sounds[nearest])[0]
        return rows

    @staticmethod
    def _mel() -> Array:
        mels = np.linspace(*(2595 * np.log10(1 + np.array([30, 7800]) / 700)), 42)
        bins = np.floor(700 * (10 ** (mels / 2595) - 1) / HERTZ * 512).astype(int)
        filters = np.zeros((40, 256))
        for row, low, middle, high in zip(filters, bins, bins[1:], bins[2:], strict=False):
            row[low:middle] = (np.arange(low, middle) - low) / max(1, middle - low)
            row[middle:high] = (high - np.arange(middle, high)) / max(1, high - middle)
        return filters


class Hama(Ears):
    """hama 1.7.0 (Apache-2.0): a conformer with CTC over the last second, again for each piece.

    Its phonemes come about 60 ms after they begin, and are read there; in frames without
    one, the one before goes on.
    """

    late, look_ahead, seconds = 0.06, 0.063, 1.0

    def __init__(self, sample_rate: int) -> None:
        import hama

        self._model = hama.ASRModel()
        super().__init__(sample_rate)

    def start(self) -> None:
        super().start()
        self._before = SILENCE

    def presences(self, steps: npt.NDArray[np.int64]) -> Array:
        first = max(0, len(self.samples) - int(self.seconds * HERTZ)) // 320 * 320
        heard = self._model.transcribe_waveform(self.samples[first:], HERTZ).frame_token_ids
        rows = np.zeros((len(steps), len(NAMES)))
        for row, step in zip(rows, steps, strict=True):
            frame = int(((step / RATE + self.late) * HERTZ - first) / 320)
            token = heard[min(frame, len(heard) - 1)] if heard else self._model.blank_id
            sound = self._sound(self._model.decoder_tokens[token])
            self._before = self._before if sound is None else sound
            loud = np.abs(self.samples[max(0, step - 4) * STEP : (step + 4) * STEP]).max() > 0.003
            row[:] = self._before if loud else SILENCE
        return rows

    @staticmethod
    def _sound(token: str) -> Array | None:
        symbol = arpabet(token.replace("\u0361", ""))
        return presence(symbol)[0] if symbol in SYMBOLS else None


def hearing(ears: Callable[[int], Ears]) -> Engine:
    """The engine with other ears."""

    def make(rate: int) -> Performer:
        face = Performer(rate, seed=1)
        face._ears = ears(rate)  # the engine has no use for a choice
        return face

    return False, make


if __name__ == "__main__":
    engines = {
        "headaudio": hearing(lambda rate: HeadAudio(rate, Path(sys.argv[1]))),
        "hama": hearing(Hama),
    }
    report(speech(HELD, ("slt", "rms")), engines)
