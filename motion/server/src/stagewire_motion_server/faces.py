"""The faces that perform: one for each session, with one ear for all."""

from __future__ import annotations

import numpy as np
from stagekit.model_fetch import ensure
from stagewire_lipsync import Performer, SphinxModel

_MODEL = "sphinx-en-us"


class Faces:
    """Makes faces.

    Args:
        loudness_only: Jaws follow loudness, and no model is needed; else faces hear sounds.
        seed: Makes blinks and head motion repeatable; each face has the same.

    Raises:
        SystemExit: The model is not here and cannot be had; says what does without.
    """

    def __init__(self, loudness_only: bool, seed: int | None) -> None:
        """Loads the model, and performs once: the first session does not wait for memory."""
        self._model = None if loudness_only else _load()
        self._seed = seed
        warm = self.new(16_000)
        warm.hear(np.zeros(6_400, np.float32))
        warm.finish()

    def new(self, sample_rate: int) -> Performer:
        """A face at rest, for a voice of so many hertz."""
        return Performer(sample_rate, self._seed, self._model)


def _load() -> SphinxModel:
    try:
        return SphinxModel(ensure(_MODEL))
    except SystemExit as error:
        raise SystemExit(f"{error}; --loudness-only does without it") from None
