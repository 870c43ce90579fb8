"""What the mouth does for each sound, and what that is in ARKit's shapes.

A sound has a target for each articulator, and a dominance: how much it insists on it against its
neighbours (Cohen and Massaro, 1993, Modeling coarticulation in synthetic visual speech). A /t/ does
not care about the lips, so they keep the rounding of the vowels around it; a /p/ insists on closing
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from stagewire_motion_codec.arkit52 import CHANNELS

Array = npt.NDArray[np.float64]

ARTICULATORS = ("jaw", "seal", "bite", "pucker", "funnel", "spread", "teeth", "tongue")
"""How far the jaw is open, the lips are closed, the lower lip is at the upper teeth, the lips are
drawn together, made a funnel, spread, show teeth, and the tongue comes forward; each 0 to 1."""


@dataclass(frozen=True)
class Sound:
    """Targets, and how much the sound insists on that of the jaw and those of the lips' shape."""

    jaw: float
    jaw_insists: float = 1.0
    seal: float = 0.0
    bite: float = 0.0
    pucker: float = 0.0
    funnel: float = 0.0
    spread: float = 0.0
    lips_insist: float = 1.0
    teeth: float = 0.0
    tongue: float = 0.0

    def targets(self) -> list[float]:
        """In the order of ``ARTICULATORS``."""
        return [getattr(self, name) for name in ARTICULATORS]

    def dominances(self) -> list[float]:
        """In the order of ``ARTICULATORS``."""
        lips = self.lips_insist
        return [self.jaw_insists, 1.0, 1.0, lips, lips, lips, 1.0, 1.0]


def _vowel(first_formant: float, **lips: float) -> Sound:
    """A vowel; the jaw is the more open the higher its first formant is.

    (Lindblom and Sundberg, 1971, Acoustical consequences of lip, tongue, jaw, and larynx movement.)
    """
    return Sound(jaw=0.12 + 0.48 * (first_formant - 270) / (730 - 270), **lips)


def _stop(jaw: float, **more: float) -> Sound:
    """A consonant made inside the mouth: jaw and lips go along with the vowels."""
    return Sound(jaw=jaw, jaw_insists=0.45, lips_insist=0.15, **more)


# First formants of men's vowels in Hz: Peterson and Barney, 1952, Control methods used in a study
# of the vowels, table II. AH is also ARPAbet's schwa, which is closer (about 500 Hz): between both.
# Lips: after openfacefx' table of ARKit shapes (MIT).
SOUNDS = {
    "sil": Sound(0.0, jaw_insists=1.5),
    "IY": _vowel(270, spread=1.0, teeth=0.5),
    "IH": _vowel(390, spread=0.5, lips_insist=0.7),
    "EH": _vowel(530, spread=0.5, lips_insist=0.7),
    "AE": _vowel(660, spread=0.5, lips_insist=0.7),
    "AA": _vowel(730, lips_insist=0.7),
    "AO": _vowel(570, pucker=0.4, funnel=0.7),
    "AH": _vowel(560, lips_insist=0.5),
    "UH": _vowel(440, pucker=0.55, funnel=0.4),
    "UW": _vowel(300, pucker=0.9, funnel=0.5, lips_insist=1.2),
    "ER": _vowel(490, pucker=0.4, funnel=0.3, lips_insist=0.8),
    "W": Sound(0.12, pucker=0.95, funnel=0.5, lips_insist=1.5),
    "R": Sound(0.18, jaw_insists=0.6, pucker=0.45, funnel=0.3, lips_insist=0.6),
    "Y": Sound(0.15, jaw_insists=0.6, spread=0.8, lips_insist=0.6, teeth=0.3),
    "P": Sound(0.04, jaw_insists=3.0, seal=1.0, lips_insist=0.3),
    "B": Sound(0.04, jaw_insists=3.0, seal=1.0, lips_insist=0.3),
    "M": Sound(0.04, jaw_insists=3.0, seal=1.0, lips_insist=0.3),
    "F": Sound(0.08, jaw_insists=1.5, bite=1.0, lips_insist=0.3),
    "V": Sound(0.08, jaw_insists=1.5, bite=1.0, lips_insist=0.3),
    "TH": Sound(0.14, lips_insist=0.15, teeth=0.5, tongue=1.0),
    "DH": Sound(0.14, lips_insist=0.15, teeth=0.4, tongue=0.9),
    "T": _stop(0.16, tongue=0.15, teeth=0.3),
    "D": _stop(0.18, tongue=0.2, teeth=0.3),
    "N": _stop(0.18, tongue=0.2),
    "L": _stop(0.24, tongue=0.4),
    "K": _stop(0.22),
    "G": _stop(0.22),
    "NG": _stop(0.24),
    "HH": Sound(0.25, jaw_insists=0.1, lips_insist=0.05),
    "S": Sound(0.08, jaw_insists=1.2, spread=0.3, lips_insist=0.25, teeth=1.0),
    "Z": Sound(0.08, jaw_insists=1.2, spread=0.3, lips_insist=0.25, teeth=1.0),
    "SH": Sound(0.10, jaw_insists=1.2, pucker=0.4, funnel=0.65, lips_insist=0.9, teeth=0.4),
    "ZH": Sound(0.10, jaw_insists=1.2, pucker=0.4, funnel=0.65, lips_insist=0.9, teeth=0.4),
    "CH": Sound(0.10, jaw_insists=1.2, pucker=0.4, funnel=0.65, lips_insist=0.9, teeth=0.4),
    "JH": Sound(0.10, jaw_insists=1.2, pucker=0.4, funnel=0.65, lips_insist=0.9, teeth=0.4),
}
"""By their ARPAbet symbols, and ``sil``; without diphthongs."""

DIPHTHONGS = {
    **{"AY": ("AA", "IH"), "AW": ("AA", "UH"), "OY": ("AO", "IH")},
    **{"EY": ("EH", "IH"), "OW": ("AO", "UH")},
}
"""From one sound to another."""

SYMBOLS = (*(name for name in SOUNDS if name != "sil"), *DIPHTHONGS)
"""ARPAbet's, without stress."""
NAMES = tuple(SOUNDS)
"""Of the sounds that are present more or less, in the order of a presence."""
SILENCE: Array = np.eye(len(NAMES))[NAMES.index("sil")]
"""The presence of nothing else, shape [sounds]."""
_TARGETS = np.array([sound.targets() for sound in SOUNDS.values()])
DOMINANCES = np.array([sound.dominances() for sound in SOUNDS.values()])
"""Shape [sounds, articulators]."""
PULLS = _TARGETS * DOMINANCES
"""Targets times dominances, shape [sounds, articulators]."""


def presence(symbol: str) -> tuple[Array, Array]:
    """A symbol's beginning and end as presences, shape [sounds]; they differ in a diphthong."""
    begin, end = DIPHTHONGS.get(symbol, (symbol, symbol))
    one = np.eye(len(NAMES))
    return one[NAMES.index(begin)], one[NAMES.index(end)]


_SHAPES = {
    "jaw": {"jawOpen": 1.0, "mouthLowerDown": 0.15},
    "seal": {"mouthPress": 0.5, "mouthRollLower": 0.22, "mouthRollUpper": 0.22},
    "bite": {"mouthRollLower": 0.45, "mouthShrugLower": 0.4, "mouthUpperUp": 0.3},
    "pucker": {"mouthPucker": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "spread": {"mouthStretch": 0.45, "mouthSmile": 0.25, "mouthDimple": 0.15},
    "teeth": {"mouthUpperUp": 0.25, "mouthLowerDown": 0.28},
    "tongue": {"tongueOut": 0.35},
}
MOUTH_CHANNELS = [n for n, c in enumerate(CHANNELS) if c.startswith(("jaw", "mouth", "tongue"))]
"""All that a speaking mouth may move."""
_CLOSE, _JAW = CHANNELS.index("mouthClose"), CHANNELS.index("jawOpen")


def _matrix() -> Array:
    table = np.zeros((len(ARTICULATORS), len(CHANNELS)))
    for articulator, shapes in _SHAPES.items():
        for shape, weight in shapes.items():
            sides = [shape] if shape in CHANNELS else [f"{shape}Left", f"{shape}Right"]
            for name in sides:
                table[ARTICULATORS.index(articulator), CHANNELS.index(name)] = weight
    return table


_MATRIX = _matrix()


def shaped(articulators: Array) -> Array:
    """Positions of the articulators, shape [n, 8], as weights, shape [n, 52]."""
    weights = np.clip(articulators @ _MATRIX, 0.0, 1.0)
    # What the jaw is still open is closed by the lips: that is ARKit's mouthClose.
    seal = np.clip(articulators[:, ARTICULATORS.index("seal")], 0.0, 1.0)
    weights[:, _CLOSE] = seal * weights[:, _JAW]
    return weights
