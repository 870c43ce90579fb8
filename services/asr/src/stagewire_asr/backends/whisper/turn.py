"""End of turn by Smart Turn v3 (https://github.com/pipecat-ai/smart-turn, BSD-2-Clause).

It hears how the last seconds were said, not what was said: a falling tone ends a turn, a drawn-out
word does not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stagekit.audio import Samples

from stagewire_asr.backends.whisper.mel import SAMPLE_RATE, log_mel
from stagewire_asr.backends.whisper.vad import quiet_session

WINDOW_SAMPLES = 8 * SAMPLE_RATE
"""What the model hears: the last 8 s."""


class SmartTurn:
    """The model; has no state, so all sessions share it.

    Args:
        path: The ONNX file.
    """

    def __init__(self, path: Path) -> None:
        """Loads it."""
        self._model = quiet_session(path)
        self.probability(np.zeros(SAMPLE_RATE, np.float32))  # the first run allocates

    def probability(self, samples: Samples) -> float:
        """How likely, 0 to 1, the turn is over after ``samples`` (16 kHz). Takes about 0.1 s."""
        window = samples[-WINDOW_SAMPLES:]
        window = np.pad(window, (WINDOW_SAMPLES - len(window), 0))
        level = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        (probability,) = self._model.run(None, {"input_features": log_mel(level)[None]})
        return float(np.ravel(probability)[0])
