"""What the whisper backend can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WhisperSettings(BaseSettings):
    """``STAGEWIRE_ASR_WHISPER_*``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_ASR_WHISPER_", extra="ignore")

    model: str = Field("whisper-base", description="Model of final texts, from the manifest.")
    partial_model: str = Field(
        "whisper-tiny-en",
        description="Model of English partial texts; empty: the same as of final texts.",
    )
    threads: int = Field(2, ge=1, description="Threads that one decode uses.")
    workers: int = Field(1, ge=1, description="Decodes that run at the same time.")
    partial_ms: int = Field(450, ge=100, description="Speech between two partial texts.")
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="Probability that is speech.")
    strict_threshold: float = Field(
        0.7, gt=0, lt=1, description="The same while the avatar speaks, when echo may be heard."
    )
    turn_check_ms: int = Field(300, ge=100, description="Silence before the first turn check.")
    turn_recheck_ms: int = Field(200, ge=100, description="Silence between two turn checks.")
    turn_limit_ms: int = Field(
        1200, ge=200, description="Silence after which the turn is over in any case."
    )
