"""What the stage can be told."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings


class MotionBridgeSettings(StageSettings):
    """Settings of the motion_bridge stage."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_MOTION_BRIDGE_", extra="ignore")

    port: int = Field(50054, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    backend: str = Field(
        "auto",
        description="Which installed backend moves the face: lipsync, spatius, or one of yours. "
        "auto: spatius when SPATIUS_API_KEY is set, else lipsync.",
    )

    def chosen_backend(self, environment: Mapping[str, str] = os.environ) -> str:
        """The backend's name, with auto decided."""
        if self.backend != "auto":
            return self.backend
        return "spatius" if environment.get("SPATIUS_API_KEY") else "lipsync"
