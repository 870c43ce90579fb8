"""What the stage can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings


class TtsSettings(StageSettings):
    """Settings of the tts stage."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_TTS_", extra="ignore")

    port: int = Field(50053, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    backend: str = Field("hibari", description="Which installed backend speaks.")
    workers: int = Field(
        1, ge=1, le=64, description="Clauses synthesized at the same time; each takes one core."
    )
