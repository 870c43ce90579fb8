"""The people that are baked: shapes mixed from the base mesh's targets, colours, hair."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Hairline:
    """Where hair begins; heights over the eyes in decimetres."""

    front: float
    temple: float
    side: float
    nape: float


@dataclass(frozen=True)
class Person:
    """One look.

    Attributes:
        name: Its file's name, and the ``look`` of an avatar profile.
        targets: Weights of shape targets.
        skin, blush, lips, hair, iris, shirt: Colours, sRGB.
        style: Which hair: see ``hair.py``.
        hairline: Where it begins.
        brow: Thickness of the brows, 1 for usual.
        stubble: Strength of the beard's shadow, 0 to 1.
        lashes: Length of the lashes, 1 for usual.
    """

    name: str
    targets: dict[str, float]
    skin: Colour
    blush: Colour
    lips: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    style: str
    hairline: Hairline
    brow: float = 1.0
    stubble: float = 0.0
    lashes: float = 1.0
    lip_strength: float = 0.62
    freckles: float = 0.0


_BOTH = ("l", "r")


def _both(name: str, weight: float) -> dict[str, float]:
    return {name.format(side): weight for side in _BOTH}


PEOPLE = (
    Person(
        name="ava",
        targets={
            "macrodetails/caucasian-female-young": 0.8,
            "macrodetails/asian-female-young": 0.2,
            "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
            "head/head-oval": 0.35,
            "forehead/forehead-scale-vert-decr": 0.5,
            "mouth/mouth-angles-up": 0.25,
            **_both("eyes/{}-eye-scale-incr", 0.25),
        },
        skin=(226, 180, 154),
        blush=(222, 128, 112),
        lips=(190, 84, 86),
        hair=(78, 50, 36),
        iris=(92, 98, 70),
        shirt=(62, 84, 116),
        style="bob",
        hairline=Hairline(front=0.72, temple=0.36, side=0.04, nape=-0.62),
        freckles=0.5,
    ),
    Person(
        name="max",
        targets={
            "macrodetails/caucasian-male-young": 1.0,
            "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
            "head/head-square": 0.25,
            "forehead/forehead-scale-vert-decr": 0.4,
            "mouth/mouth-angles-up": 0.2,
        },
        skin=(222, 172, 142),
        blush=(206, 116, 98),
        lips=(180, 102, 92),
        hair=(52, 38, 30),
        iris=(84, 112, 136),
        shirt=(70, 76, 74),
        style="short",
        hairline=Hairline(front=0.74, temple=0.30, side=-0.12, nape=-0.60),
        brow=1.45,
        stubble=0.75,
        lashes=0.7,
        lip_strength=0.45,
    ),
    Person(
        name="zuri",
        targets={
            "macrodetails/african-female-young": 1.0,
            "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
            "head/head-oval": 0.3,
            "forehead/forehead-scale-vert-decr": 0.5,
            "mouth/mouth-angles-up": 0.3,
        },
        skin=(118, 80, 62),
        blush=(124, 64, 54),
        lips=(132, 54, 54),
        hair=(30, 23, 21),
        iris=(74, 46, 28),
        shirt=(178, 118, 52),
        style="bun",
        hairline=Hairline(front=0.72, temple=0.34, side=0.02, nape=-0.60),
        brow=1.1,
        lashes=1.1,
        lip_strength=0.7,
    ),
)
