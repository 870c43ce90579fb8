"""The whisper backend: the models, and a session for each microphone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stagekit.errors import StageError
from stagekit.settings import load
from stagekit.streams import task_group
from stagewire.common.v1 import error_pb2

from stagewire_asr.backend import Emit, Info, Options
from stagewire_asr.backends.whisper.engine import Engine
from stagewire_asr.backends.whisper.mel import SAMPLE_RATE
from stagewire_asr.backends.whisper.segmenter import Tuning
from stagewire_asr.backends.whisper.session import WhisperSession
from stagewire_asr.backends.whisper.settings import WhisperSettings
from stagewire_asr.backends.whisper.vad import FRAME_SAMPLES

# Whisper's codes are ISO 639-1 where there is one; these tags are other names of the same.
_SAME_LANGUAGE = {"nb": "no", "iw": "he", "in": "id", "jv": "jw", "fil": "tl", "cmn": "zh"}


class WhisperBackend:
    """Implements :class:`stagewire_asr.backend.Backend`.

    Args:
        settings: The backend's.
        engine: The models.
    """

    def __init__(self, settings: WhisperSettings, engine: Engine) -> None:
        """Ready for sessions."""
        self._engine = engine
        self._tuning = _tuning(settings)
        self._info = Info(
            name="whisper",
            models=tuple(engine.models),
            languages=engine.decoder.languages(),
            features=("partials", "words", "end_of_turn", "phrases"),
            sample_rate=SAMPLE_RATE,
        )

    @property
    def info(self) -> Info:
        """What it is."""
        return self._info

    def resolve(self, tag: str) -> str:
        """Whisper's code of the tag's primary language: it does not tell regions apart."""
        primary = tag.replace("_", "-").split("-")[0].lower()
        code = _SAME_LANGUAGE.get(primary, primary)
        if code not in self._info.languages:
            raise StageError(
                error_pb2.ERROR_REASON_UNSUPPORTED_LANGUAGE,
                f"language {tag!r} is not one of: {', '.join(self._info.languages)}",
            )
        return code

    @asynccontextmanager
    async def listen(self, options: Options, emit: Emit) -> AsyncIterator[WhisperSession]:
        """Begins a session."""
        async with task_group() as tasks:
            session = WhisperSession(
                self._engine, self._tuning, options, emit, tasks, time.monotonic
            )
            yield session
            await session.finish()

    async def close(self) -> None:
        """Ends the models' threads."""
        await asyncio.to_thread(self._engine.close)


def create() -> WhisperBackend:
    """The entry point: reads ``STAGEWIRE_ASR_WHISPER_*``, fetches and loads the models."""
    settings = load(WhisperSettings)
    return WhisperBackend(settings, Engine(settings))


def _tuning(settings: WhisperSettings) -> Tuning:
    def frames(milliseconds: int) -> int:
        return max(1, round(milliseconds * SAMPLE_RATE / 1000 / FRAME_SAMPLES))

    return Tuning(
        speech=settings.speech_threshold,
        strict_speech=settings.strict_threshold,
        release=0.7 * settings.speech_threshold,
        partial=frames(settings.partial_ms),
        turn_check=frames(settings.turn_check_ms),
        turn_recheck=frames(settings.turn_recheck_ms),
        turn_limit=frames(settings.turn_limit_ms),
    )
