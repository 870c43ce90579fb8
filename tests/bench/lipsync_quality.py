"""How well the lip-sync engine's mouth fits the sounds of speech whose phoneme times are known.

    OMP_NUM_THREADS=1 python tests/bench/lipsync_quality.py [--set held|tuning]

Speech: Harvard sentences (IEEE, 1969) by the tts stage's voice "heart", whose model tells its
phonemes' durations, by flite's voices "slt" and "rms", which tell them too (if flite is installed),
and the human recordings of tests/data/speech, for what needs no phonemes. The engine was tuned on
other sentences (``--set tuning``, by "heart", "slt" and "awb"), never on "rms" or people.

With phonemes told, the mouth is compared with what drove it: that only shows that the mapping works
and keeps time. With phonemes heard, the engine has nothing but the audio. docs/motion.md has the
table, and says what each figure means.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from stagekit.model_fetch import ensure
from stagewire_lipsync import FRAME_RATE, Frames, Performer, PhonemeTime, SphinxModel
from stagewire_motion_codec.arkit52 import CHANNELS
from stagewire_tts.backends.hibari import HibariBackend

Array = npt.NDArray[np.float64]
Engine = tuple[bool, Callable[[int], Performer]]
"""Whether phonemes are told, and how a face is made for a sample rate."""

HELD = """
The salt breeze came across from the sea. The girl at the booth sold fifty bonds. The small pup
gnawed a hole in the sock. The fish twisted and turned on the bent hook. Press the pants and sew a
button on the vest. The swan dive was far short of perfect. The beauty of the view stunned the young
boy. Two blue fish swam in the tank. Her purse was full of useless trash. The colt reared and threw
the tall rider. It snowed, rained, and hailed the same morning. Read verse out loud for pleasure.
Hoist the load to your left shoulder. Take the winding path to reach the lake. Note closely the size
of the gas tank. Wipe the grease off his dirty face. Mend the coat before you go out. The wrist was
badly strained and hung limp. The stray cat gave birth to kittens. The young girl gave no clear
response. The meal was cooked before the bell rang. What joy there is in living. A king ruled the
state in the early days. The ship was torn apart on the sharp reef.
"""
TUNING = """
The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It's easy to
tell the depth of a well. These days a chicken leg is a rare dish. Rice is often served in round
bowls. The juice of lemons makes fine punch. The box was thrown beside the parked truck. The hogs
were fed chopped corn and garbage. Four hours of steady work faced us. A large size in stockings is
hard to sell. The boy was there when the sun rose. A rod is used to catch pink salmon. The source of
the huge river is the clear spring. Kick the ball straight and follow through. Help the woman get
back to her feet. A pot of tea helps to pass the evening. Smoky fires lack flame and heat. The soft
cushion broke the man's fall.
"""

# How open a vowel is: its first formant between those of IY and AA. Men's means, in Hz: Peterson
# and Barney, 1952, Control methods used in a study of the vowels, table II. AH is both their vowel
# of "hut" (640) and the schwa (about 500). Diphthongs change, and are left out.
FORMANTS = {
    **{"IY": 270, "IH": 390, "EH": 530, "AE": 660, "AA": 730, "AO": 570},
    **{"UH": 440, "UW": 300, "AH": 570, "ER": 490},
}
ROUNDED, SPREAD = ("UW", "UH", "AO", "OW", "W"), ("IY", "IH", "EH", "AE", "EY")
CONSONANT_OPENNESS = 0.15  # in the curve that the mouth's timing is compared with

SHUT, PRESSED = 0.06, 0.25  # how far lips are apart, and pressed, when they are closed
BITTEN = 0.15  # of mouthShrugLower: the lower lip is at the teeth
CLOSED = 0.03  # what no mouth shape exceeds in silence
PIECE = 0.05  # seconds of audio at a time


@dataclass(frozen=True)
class Take:
    """Speech; without phonemes where their times are not known."""

    rate: int
    samples: npt.NDArray[np.float32]
    phonemes: Sequence[PhonemeTime] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


def spoken_by_hibari(sentences: Sequence[str]) -> list[Take]:
    """With the times that the model predicts, as the tts stage tells them."""
    voice = HibariBackend()
    takes = []
    for sentence in sentences:
        clause = voice.synthesize(sentence, "heart", 1.0)
        times = [PhonemeTime(p.symbol, p.start, p.end) for p in clause.phonemes]
        takes.append(Take(voice.sample_rate, clause.samples, times))
    return takes


def spoken_by_flite(sentences: Sequence[str], voice: str) -> list[Take]:
    """With the times that it places its units at."""
    names = {"ax": "AH", "axr": "ER", "ix": "IH", "pau": "sil", "h#": "sil", "ssil": "sil"}
    takes = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "said.wav")
        for sentence in sentences:
            command = ["flite", "-voice", voice, "-psdur", sentence, "-o", str(path)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rate, samples = read(path)
            times, start = [], 0
            for word in told.split():
                symbol, seconds = word.split(":")
                end = int(float(seconds) * rate)
                times.append(PhonemeTime(names.get(symbol, symbol.upper()), start, end))
                start = end
            takes.append(Take(rate, samples, times))
    return takes


def read(path: Path) -> tuple[int, npt.NDArray[np.float32]]:
    """A mono 16-bit file."""
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return file.getframerate(), pcm.astype(np.float32) / 32_768


@dataclass
class Figures:
    """What was found, take after take; each list is summed up in the table."""

    closed: list[bool]
    bitten: list[bool]
    false_closures: list[bool]
    openness: list[tuple[float, float]]
    rounded: list[float]
    spread: list[float]
    offsets: list[float]
    jerks: list[float]
    closings: list[float]
    busy: float = 0.0
    seconds: float = 0.0
    first: float = 0.0

    @classmethod
    def none(cls) -> Figures:
        """Nothing yet."""
        return cls([], [], [], [], [], [], [], [], [])

    def row(self) -> list[str]:
        """The cells of the table."""
        pairs = np.array(self.openness).T
        return [
            _share(self.closed),
            _share(self.bitten),
            _share(self.false_closures),
            f"{np.corrcoef(pairs)[0, 1]:.2f}" if len(self.openness) > 2 else "-",
            f"{_above(self.rounded, self.spread):.2f}" if self.rounded else "-",
            f"{np.median(self.offsets):+.0f}" if self.offsets else "-",
            f"{np.median(self.jerks):,.0f}",
            f"{np.median(self.closings):.0f} / {max(self.closings):.0f}" if self.closings else "-",
            f"{self.busy / self.seconds:.3f}",
            f"{self.first * 1e3:.0f}",
        ]


HEADER = [
    *("lips close on P B M, %", "lip at teeth on F V, %", "lips close in vowels, %"),
    *("openness r", "rounding AUC", "offset, ms", "jerk, 1/s³"),
    *("closed in silence after, ms (median / worst)", "RTF", "first motion after ms of audio"),
]


def measure(figures: Figures, take: Take, face: Performer, told: bool) -> Frames:
    """Performs a take and adds what is found."""
    frames = perform(figures, take, face, told)
    named = {name: frames.weights[:, n].astype(float) for n, name in enumerate(CHANNELS)}
    gape = named["jawOpen"] - named["mouthClose"]
    press, bite = named["mouthPressLeft"], named["mouthShrugLower"]
    shut = (gape < SHUT) & (press > PRESSED)
    for phoneme in take.phonemes:
        window, middle = around(take, phoneme, len(frames))
        if phoneme.symbol in ("P", "B", "M"):
            figures.closed.append(bool(shut[window].any()))
        elif phoneme.symbol in ("F", "V"):
            figures.bitten.append(bool(((bite > BITTEN) & ~shut)[window].any()))
        elif phoneme.symbol in FORMANTS:
            figures.openness.append((openness(phoneme.symbol), gape[middle]))
            figures.false_closures.append(bool(shut[middle]))
        lips = named["mouthPucker"][middle] + named["mouthFunnel"][middle]
        if phoneme.symbol in ROUNDED:
            figures.rounded.append(lips)
        elif phoneme.symbol in SPREAD:
            figures.spread.append(lips)
    figures.offsets.append(offset(take, gape))
    figures.jerks.append(float(np.sqrt(np.mean((np.diff(gape, 3) * FRAME_RATE**3) ** 2))))
    figures.closings += closings(take, frames)
    return frames


def perform(figures: Figures, take: Take, face: Performer, told: bool) -> Frames:
    """All frames of a take, heard in pieces, and how long that took."""
    face.start()
    if told:
        face.expect(take.phonemes)
    size = int(PIECE * take.rate)
    pieces = []
    begin = time.perf_counter()
    for at in range(0, len(take.samples), size):
        pieces.append(face.hear(take.samples[at : at + size]))
    pieces.append(face.finish())
    figures.busy += time.perf_counter() - begin
    figures.seconds += take.seconds
    return Frames.join(pieces)


def first_motion(take: Take, face: Performer, told: bool) -> float:
    """Seconds of audio, in pieces of 5 ms, after which the first frame came."""
    face.start()
    if told:
        face.expect(take.phonemes)
    size = take.rate // 200
    for at in range(0, len(take.samples), size):
        if len(face.hear(take.samples[at : at + size])):
            return (at + size) / take.rate
    return take.seconds


def around(take: Take, phoneme: PhonemeTime, frames: int) -> tuple[slice, int]:
    """The frames of a phoneme, from 20 ms before it to 20 ms after it, and that of its middle."""
    per_second = FRAME_RATE / take.rate
    begin, end = int(phoneme.start * per_second - 1), int(phoneme.end * per_second + 2)
    middle = int((phoneme.start + phoneme.end) / 2 * per_second)
    return slice(max(0, begin), end), min(middle, frames - 1)


def openness(symbol: str) -> float:
    """0 for the closest vowel to 1 for the most open."""
    return (FORMANTS[symbol] - FORMANTS["IY"]) / (FORMANTS["AA"] - FORMANTS["IY"])


def offset(take: Take, gape: Array) -> float:
    """Milliseconds by which the mouth is late: where its curve fits best.

    Against the openness of the phonemes, or where none are known, the loudness of the audio.
    """
    times = np.arange(len(gape)) / FRAME_RATE
    fine = np.arange(0, times[-1], 0.005)
    moved = np.interp(fine, times, gape)
    if take.phonemes:
        expected = np.zeros(len(fine))
        for phoneme in take.phonemes:
            inside = (fine >= phoneme.start / take.rate) & (fine < phoneme.end / take.rate)
            if phoneme.symbol in FORMANTS:
                expected[inside] = 0.25 + 0.75 * openness(phoneme.symbol)
            elif phoneme.symbol not in ("sil", "P", "B", "M"):
                expected[inside] = CONSONANT_OPENNESS
    else:
        half = int(0.01 * take.rate)
        middles = (fine * take.rate).astype(int)
        powers = [float(np.mean(take.samples[max(0, m - half) : m + half] ** 2)) for m in middles]
        expected = np.clip(np.log10(np.array(powers) + 1e-6) + 4.5, 0, None)
    hann = np.hanning(13)
    expected = np.convolve(expected, hann / hann.sum(), mode="same")
    shifts = range(-40, 41)
    fits = [_fit(np.roll(moved, -shift)[40:-40], expected[40:-40]) for shift in shifts]
    return 5.0 * shifts[int(np.argmax(fits))]


def closings(take: Take, frames: Frames) -> Iterator[float]:
    """For each silence of a quarter of a second after speech: ms until the mouth is closed."""
    mouth = [n for n, name in enumerate(CHANNELS) if name.startswith(("jaw", "mouth", "tongue"))]
    open_ = frames.weights[:, mouth].max(1) > CLOSED
    for phoneme in take.phonemes:
        if (
            phoneme.symbol == "sil"
            and phoneme.start
            and phoneme.end - phoneme.start > take.rate / 4
        ):
            begin = -(-phoneme.start * FRAME_RATE // take.rate)
            end = min(phoneme.end * FRAME_RATE // take.rate, len(frames))
            still = np.flatnonzero(open_[begin : end - 6])  # the last may open for what follows
            last = begin + (int(still[-1]) + 1 if len(still) else 0)
            yield max(0.0, 1e3 * (last / FRAME_RATE - phoneme.start / take.rate))


def _fit(one: Array, other: Array) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0


def _share(found: Sequence[bool]) -> str:
    return f"{100 * np.mean(found):.0f} of {len(found)}" if found else "-"


def _above(ones: Sequence[float], others: Sequence[float]) -> float:
    """The chance that one of ``ones`` is greater than one of ``others``."""
    a, b = np.array(ones)[:, None], np.array(others)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def engines(model: SphinxModel) -> dict[str, Engine]:
    """By name."""
    return {
        "phonemes told": (True, lambda rate: Performer(rate, seed=1, model=model)),
        "phonemes heard": (False, lambda rate: Performer(rate, seed=1, model=model)),
        "loudness": (False, lambda rate: Performer(rate, seed=1)),
    }


def speech(text: str, voices: Sequence[str]) -> dict[str, list[Take]]:
    """By whom, what; ``voices`` are flite's."""
    sentences = [f"{part.strip()}." for part in " ".join(text.split()).split(".") if part.strip()]
    found = {"heart (hibari)": spoken_by_hibari(sentences)}
    if shutil.which("flite"):
        found |= {f"{v} (flite)": spoken_by_flite(sentences, v) for v in voices}
    folder = Path(__file__).parents[1] / "data" / "speech"
    found["people"] = [Take(*read(path)) for path in sorted(folder.glob("*.wav"))]
    return found


def report(voices: Mapping[str, Sequence[Take]], engines: Mapping[str, Engine]) -> None:
    """Prints the table."""
    print("| voice | engine |", " | ".join(HEADER), "|")
    print("|---" * (len(HEADER) + 2) + "|")
    for voice, takes in voices.items():
        for name, (told, make) in engines.items():
            if told and not takes[0].phonemes:
                continue
            face, figures = make(takes[0].rate), Figures.none()
            figures.first = max(first_motion(take, make(take.rate), told) for take in takes)
            for take in takes:
                measure(figures, take, face, told)
            print(f"| {voice} | {name} |", " | ".join(figures.row()), "|", flush=True)
    threads = os.environ.get("OMP_NUM_THREADS", "not set: RTF is meant for one")
    print(f"load average {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS {threads}")


def main() -> None:
    """Measures the engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("held", "tuning"), default="held")
    held = parser.parse_args().set == "held"
    voices = speech(HELD if held else TUNING, ("slt", "rms" if held else "awb"))
    report(voices, engines(SphinxModel(ensure("sphinx-en-us"))))


if __name__ == "__main__":
    main()
