"""What the stage can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings


class MotionBridgeSettings(StageSettings):
    """Settings of the motion_bridge stage."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_MOTION_BRIDGE_", extra="ignore")

    port: int = Field(50054, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    backend: str = Field("lipsync", description="Which installed backend moves the face.")
