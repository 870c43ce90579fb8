"""The phoneme model that hears: CMU Sphinx' US English acoustic model, read with numpy.

A mixture of Gaussians for each state of a phoneme (PTM: 42 phones, 128 Gaussians each, of cepstra
and their first and second differences), trained on many speakers; BSD-2-Clause. Of it only the part
that ignores a phone's neighbours is used: three states for each phone. The files are those of the
folder ``en-us`` in pocketsphinx; their layout is Sphinx 3's (github.com/cmusphinx/sphinxbase).
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

FILES = ("means", "variances", "sendump", "transition_matrices")
PHONES = (
    *("+NSN+", "+SPN+", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY"),
    *("F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH"),
    *("SIL", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""In the order of the model's ``mdef``; the first two are noises."""

STATES = 3
"""Of each phone, passed from first to last."""
CEPSTRA = 13
"""Numbers in each of the model's three streams."""

_STREAMS, _GAUSSIANS = 3, 128
_VARIANCE_FLOOR = 1e-4  # Sphinx' own
# Mixture weights are stored as -log(weight), base 1.0001, divided by 1024.
_WEIGHT_UNIT = 1024 * np.log(1.0001)
_NOISE = 0.01  # how likely a noise begins, in proportion to a phone


class SphinxModel:
    """What is loaded once and shared by all that listen; it does not change.

    Its products are small on purpose: a BLAS would spread larger ones over the cores that other
    stages need.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the model.

        Args:
            folder: Where ``FILES`` are.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file is not one of this model.
        """
        means = _parameters(folder / "means")
        variances = np.maximum(_parameters(folder / "variances"), _VARIANCE_FLOOR)
        weights = _mixture_weights(folder / "sendump")
        counts = _matrices(folder / "transition_matrices").astype(np.float64)
        self._stays = np.diagonal(counts, axis1=1, axis2=2) / counts.sum(-1)
        # Every phone is as likely as any other to follow.
        self._begins = np.where(np.arange(len(PHONES)) < 2, _NOISE, 1.0)
        self._begins /= self._begins.sum()
        # log N(x) = x·(mean/variance) - x²·(1/2 variance) + constant: a matrix product for each
        # stream and phone, [x, x²] by [26, Gaussians].
        linear, square = means / variances, -0.5 / variances
        both = np.concatenate([linear, square], axis=-1)
        self._gaussians = [
            np.ascontiguousarray(both[:, s].transpose(0, 2, 1)) for s in range(_STREAMS)
        ]
        constant = -0.5 * (np.log(2 * np.pi * variances) + means**2 / variances).sum(-1)
        self._constants = [constant[:, s, None] for s in range(_STREAMS)]
        # [stream] of [phone, Gaussian, state].
        self._weights = [
            np.ascontiguousarray(
                weights[s].reshape(_GAUSSIANS, len(PHONES), STATES).transpose(1, 0, 2)
            )
            for s in range(_STREAMS)
        ]

    def log_likelihoods(self, streams: npt.NDArray[np.floating]) -> Array:
        """How well each state explains each frame.

        Args:
            streams: Shape [3, n, 13]: cepstra, differences, differences of differences.

        Returns:
            Shape [n, 126], states of a phone together.
        """
        total = np.zeros((len(PHONES), streams.shape[1], STATES), np.float32)
        for stream, gaussians, constants, weights in zip(
            streams.astype(np.float32),
            self._gaussians,
            self._constants,
            self._weights,
            strict=True,
        ):
            scores = np.concatenate([stream, stream**2], axis=1) @ gaussians + constants
            best = scores.max(-1, keepdims=True)
            total += np.log(np.exp(scores - best) @ weights + 1e-30) + best
        return total.transpose(1, 0, 2).reshape(-1, len(PHONES) * STATES)

    def forward(self, chances: Doubles) -> Doubles:
        """How likely each state is 10 ms after ``chances``; shape [126], as these."""
        now = chances.reshape(len(PHONES), STATES)
        then: Doubles = now * self._stays
        leaves = now - then
        then[:, 1:] += leaves[:, :-1]
        then[:, 0] += leaves[:, -1].sum() * self._begins
        return np.ravel(then)

    def backward(self, likely: Doubles) -> Doubles:
        """How likely each state makes what is ``likely`` for those 10 ms later; shape [126]."""
        then = likely.reshape(len(PHONES), STATES)
        follows: Doubles = np.empty_like(then)
        follows[:, :-1] = then[:, 1:]
        follows[:, -1] = (self._begins * then[:, 0]).sum()
        return np.ravel(follows + self._stays * (then - follows))


def _parameters(path: Path) -> Array:
    """Means or variances, shape [phone, stream, Gaussian, cepstrum]."""
    data, at = _body(path)
    shape = (len(PHONES), _STREAMS, _GAUSSIANS, CEPSTRA)
    lengths = (CEPSTRA,) * _STREAMS
    if struct.unpack_from("<7i", data, at) != (*shape[:3], *lengths, math.prod(shape)):
        raise ValueError(f"{path} is not of the model this reads: its shape is another")
    return _numbers(path, data, at + 28, shape)


def _matrices(path: Path) -> Array:
    """Transition counts, shape [phone, from state, to state or exit]."""
    data, at = _body(path)
    shape = (len(PHONES), STATES, STATES + 1)
    if struct.unpack_from("<4i", data, at) != (*shape, math.prod(shape)):
        raise ValueError(f"{path} is not of the model this reads: its shape is another")
    return _numbers(path, data, at + 16, shape)


def _numbers(path: Path, data: bytes, at: int, shape: tuple[int, ...]) -> Array:
    if len(data) < at + 4 * math.prod(shape):
        raise ValueError(f"{path} is cut short")
    return np.frombuffer(data, "<f4", math.prod(shape), at).reshape(shape)


def _body(path: Path) -> tuple[bytes, int]:
    """A file of Sphinx 3 and where its numbers begin, after a text header and a mark of 4 bytes."""
    data = path.read_bytes()
    mark = b"endhdr\n"
    at = data.find(mark) + len(mark)
    longest = 4 + 4 * 8  # the mark, and the numbers that tell the shape
    marked = data[at : at + 4] == b"\x44\x33\x22\x11"
    if not data.startswith(b"s3\n") or not marked or len(data) < at + longest:
        raise ValueError(f"{path} is no little-endian file of Sphinx 3")
    return data, at + 4


def _mixture_weights(path: Path) -> Array:
    """Of the context-independent states, which come first; shape [stream, Gaussian, state]."""
    data = path.read_bytes()
    at = length = 0
    try:
        for _ in range(64):  # strings, each after its length, up to an empty one
            (length,) = struct.unpack_from("<i", data, at)
            at += 4 + length
            if not length:
                break
        gaussians, states = struct.unpack_from("<2i", data, at)
        shape = (_STREAMS, gaussians, states)
        stored = np.frombuffer(data, np.uint8, _STREAMS * gaussians * states, at + 8).reshape(shape)
    except (struct.error, ValueError):
        raise ValueError(f"{path} is no senone dump of Sphinx") from None
    if gaussians != _GAUSSIANS or states < len(PHONES) * STATES:
        raise ValueError(f"{path} is not of the model this reads: its shape is another")
    own = stored[:, :, : len(PHONES) * STATES].astype(np.float32)
    return np.asarray(np.exp(-own * _WEIGHT_UNIT), np.float32)
