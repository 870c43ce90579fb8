"""The fallback voice: the program flite (CMU, BSD-like licence; ``apt-get install flite``).

Small, robust and robotic. It reads numbers and abbreviations by itself and tells neither words nor
phonemes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from stagekit.audio import to_float
from stagekit.errors import StageError
from stagekit.settings import load
from stagewire.common.v1 import error_pb2

from stagewire_tts.backend import Clause

_SECONDS = 20.0


class FliteSettings(BaseSettings):
    """Settings of the flite backend."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_TTS_FLITE_", extra="ignore")

    program: str = Field("flite", description="The program's name or path.")


class FliteBackend:
    """Runs flite once for every clause."""

    name = "flite"
    models = ()
    voices = ("slt", "rms", "awb", "kal16")
    languages = ("en-US",)
    sample_rate = 16_000
    features = ()

    def __init__(self, settings: FliteSettings) -> None:
        """Looks for the program.

        Raises:
            SystemExit: When it is not installed.
        """
        program = shutil.which(settings.program)
        if program is None:
            raise SystemExit(
                f"the flite backend needs the program {settings.program!r}, which was not found. "
                "Install it (Debian, Ubuntu: apt-get install flite), or name it in "
                "STAGEWIRE_TTS_FLITE_PROGRAM"
            )
        self._program = program

    def synthesize(self, text: str, voice: str, rate: float) -> Clause:
        """See :class:`stagewire_tts.backend.Backend`."""
        spoken = "".join(c if c.isprintable() else " " for c in text)
        if not any(c.isascii() and c.isalnum() for c in spoken):
            return Clause(np.zeros(0, np.float32))
        command = [self._program, "-voice", voice, "--setf", f"duration_stretch={1 / rate:.3f}"]
        try:
            with tempfile.TemporaryDirectory() as folder:
                sound = Path(folder) / "clause.wav"
                # The text goes in by standard input, so that nothing in it is taken for an option.
                subprocess.run(
                    [*command, "-f", "-", "-o", str(sound)],
                    input=spoken.encode(),
                    capture_output=True,
                    timeout=_SECONDS,
                    check=True,
                )
                with wave.open(str(sound)) as frames:
                    samples = to_float(frames.readframes(frames.getnframes()))
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            raise StageError(
                error_pb2.ERROR_REASON_BACKEND_FAILED, f"flite failed: {type(error).__name__}"
            ) from error
        return Clause(samples if np.any(samples) else np.zeros(0, np.float32))


def create() -> FliteBackend:
    """The entry point."""
    return FliteBackend(load(FliteSettings))
