"""The hibari model with its durations exposed: which samples belong to which phoneme character.

hibari (Apache-2.0) is a small distillation of Kokoro-82M. The network repeats every character's
encoding for as many 25 ms units as it predicts, and turns the result into 12.5 ms spectral frames;
hibari.dsp makes the waveform of them. The predicted unit counts are the inner tensor
``/Clip_output_0``, which the file does not name as an output. An ONNX file is a protobuf message,
and protobuf merges concatenated messages, so appending a few bytes that add one
``GraphProto.output`` exposes it, without the onnx package and without touching the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from hibari import dsp
from hibari.voices import ASSETS
from stagekit.audio import Samples

SAMPLE_RATE = 24_000
MAX_CHARACTERS = 400
"""What the model was trained for at most (hibari.tts.MAX_PHONEMES)."""

_UNIT = 600
"""Samples of one duration unit: 25 ms."""
_DURATIONS = b"/Clip_output_0"
# What is heard runs ahead of the predicted durations: over ten sentences at rates 0.7, 1 and 1.5,
# spectral energy above 4 kHz matches the sibilants' units best when these are moved 50 ms earlier,
# and so do the sentences' onsets. Kokoro's own word timestamps apply such a shift too
# (KPipeline.join_timestamps subtracts 3 units).
_AHEAD = 2 * _UNIT
_SEED = 0
_PROBES = ("həlˈO.", "jˈɛs, ˌI kˈæn hˈɛlp.", "ðə kwˈɪk bɹˈWn fˈɑks ʤˈʌmps ˈOvəɹ ðə lˈAzi dˈɔɡ.")


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        samples: float32, shape [n], at 24 kHz.
        edges: Sample offsets, one more than characters: character i sounds from ``edges[i]`` to
            ``edges[i + 1]``; before the first and after the last is silence.
    """

    samples: Samples
    edges: Sequence[int]


class HibariModel:
    """Phoneme characters in, samples and exact times out. Safe to call from several threads."""

    def __init__(self) -> None:
        """Loads the voice "heart", which is in the package, and checks its durations.

        Raises:
            RuntimeError: When this hibari's model does not tell durations as described above.
        """
        assets = Path(ASSETS)
        self.vocabulary: dict[str, int] = json.loads((assets / "vocab.json").read_text("utf-8"))
        self._session = onnxruntime.InferenceSession(
            (assets / "hibari.onnx").read_bytes() + _exposing(_DURATIONS),
            _options(),
            providers=["CPUExecutionProvider"],
        )
        for probe in _PROBES:  # differing lengths, which also warms the runtime's memory up
            self._check(probe)

    def speak(self, characters: str, rate: float) -> Speech:
        """Says up to ``MAX_CHARACTERS`` characters, all of them in ``vocabulary``.

        Args:
            characters: Phonemes in misaki's alphabet, stress marks, punctuation, spaces.
            rate: 1 is normal; 2 twice as fast.
        """
        samples, units = self._run(characters, rate)
        ends = np.cumsum(units)[:-1] * _UNIT - _AHEAD
        return Speech(samples, [int(end) for end in np.clip(ends, 0, len(samples))])

    def _run(self, characters: str, rate: float) -> tuple[Samples, npt.NDArray[np.int64]]:
        """Samples, and the units of each character and of the pads before and after them."""
        ids = [0, *(self.vocabulary[c] for c in characters), 0]
        *spectrum, units = self._session.run(
            None,
            {"ids": np.asarray([ids], np.int64), "speed": np.asarray([rate], np.float32)},
        )
        # A fixed seed: the same clause always sounds the same.
        noise = np.random.default_rng(_SEED)
        samples = dsp.synth(*(part[0] for part in spectrum), noise)
        return samples, np.asarray(units).ravel().astype(np.int64)

    def _check(self, probe: str) -> None:
        samples, units = self._run(probe, 1.0)
        if len(units) != len(probe) + 2 or int(units.sum()) * _UNIT != len(samples):
            raise RuntimeError(
                f"this hibari-tts model does not tell durations as expected: {len(units)} "
                f"durations of {int(units.sum())} units for {len(probe) + 2} characters and "
                f"{len(samples)} samples; install the release that this backend names "
                "(pip install 'stagewire-tts[hibari]')"
            )


def _exposing(tensor: bytes) -> bytes:
    """ModelProto bytes that add ``tensor`` to graph.output when appended to a model.

    The field numbers are onnx.proto's: ValueInfoProto.name = 1, GraphProto.output = 12,
    ModelProto.graph = 7; all of wire type 2 (length-delimited), lengths below 128.
    """
    value_info = b"\x0a" + bytes([len(tensor)]) + tensor
    output = b"\x62" + bytes([len(value_info)]) + value_info
    return b"\x3a" + bytes([len(output)]) + output


def _options() -> onnxruntime.SessionOptions:
    """One thread, no spinning: other stages share the cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
