"""What the asr service can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings


class AsrSettings(StageSettings):
    """``STAGEWIRE_ASR_*``. A backend has its own settings besides."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_ASR_", extra="ignore")

    port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    backend: str = Field(
        "whisper", description="Entry point of group stagewire.asr.backends that recognizes."
    )
    language: str = Field("en", description="Recognized when `open` names no language; BCP 47.")
