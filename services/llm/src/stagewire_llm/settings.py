"""What the language model stage can be told."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings


class LlmSettings(StageSettings):
    """Settings of the stage; each backend has its own beside them."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_LLM_", extra="ignore")

    port: int = Field(50052, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    backend: str = Field(
        "llamacpp", description="What answers: llamacpp, openai, or an installed one."
    )
    max_sessions: int = Field(
        16,
        ge=1,
        description="Answers made at the same time; a backend may have room for fewer.",
    )
    max_output_tokens: int = Field(
        256, ge=1, description="Upper bound of an answer whose request names none."
    )
    tool_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a tool call may stay unanswered."
    )
