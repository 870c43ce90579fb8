"""Voice activity by Silero VAD v6 (https://github.com/snakers4/silero-vad, MIT)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from stagekit.audio import Samples

FRAME_SAMPLES = 512
"""Samples, at 16 kHz, for one probability: 32 ms."""

_CONTEXT = 64  # samples before a frame that the model also sees
_STATE = (1, 1, 128)


def quiet_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX session whose threads sleep, not spin, while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class VoiceActivity:
    """One microphone's speech probabilities.

    Args:
        model: The Silero session; shared, the state is here.
    """

    def __init__(self, model: onnxruntime.InferenceSession) -> None:
        """Nothing heard yet."""
        self._model = model
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)
        self._heard: Samples = np.zeros(_CONTEXT, np.float32)

    def hear(self, samples: Samples) -> list[float]:
        """The probability of speech, 0 to 1, in each frame that ``samples`` complete.

        Runs the model, 0.3 ms for each frame: not for the event loop.
        """
        heard = np.concatenate([self._heard, samples])
        count = (len(heard) - _CONTEXT) // FRAME_SAMPLES
        self._heard = heard[count * FRAME_SAMPLES :]
        if not count:
            return []
        width = _CONTEXT + FRAME_SAMPLES
        frames = np.lib.stride_tricks.sliding_window_view(heard, width)[::FRAME_SAMPLES][:count]
        inputs = {"input": np.ascontiguousarray(frames), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._model.run(None, inputs)
        return [float(probability) for probability in np.ravel(probabilities)]
