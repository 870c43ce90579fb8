"""What the local model can be told, and what is known of the models by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from stagekit import model_fetch


class LlamaCppSettings(BaseSettings):
    """Settings of the backend ``llamacpp``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_LLM_LLAMACPP_", extra="ignore")

    model: str = Field(
        "qwen2.5-1.5b",
        description="qwen2.5-1.5b, smollm2-135m, or the path of a GGUF file of a ChatML model.",
    )
    tools: bool | None = Field(
        None, description="Announce tool calls; empty: only for a model known to make them."
    )
    slots: int = Field(
        4, ge=1, le=64, description="Sessions whose prompts are kept, and answers at the same time."
    )
    context_tokens: int = Field(
        2048, ge=256, description="Tokens of context of each slot: prompt and answer."
    )
    temperature: float = Field(
        0.6, ge=0, le=2, description="Sampling temperature when a request names none."
    )
    threads: int = Field(2, ge=1, description="Threads that generate tokens.")
    batch_threads: int = Field(2, ge=1, description="Threads that evaluate prompts.")
    batch_tokens: int = Field(
        32,
        ge=8,
        le=2048,
        description="Prompt tokens evaluated at a stretch: after each stretch, other sessions' "
        "tokens come and a cancel is noticed.",
    )
    spin_count: int = Field(
        2000,
        ge=0,
        description="GOMP_SPINCOUNT, how long a thread spins before it sleeps; an OpenMP variable "
        "that is set already wins. README.md has the measurements.",
    )
    prompt_cache_mib: int = Field(
        512, ge=0, description="Memory for prompts of sessions that lost their slot; 0: none."
    )


@dataclass(frozen=True)
class Weights:
    """A model file and what is known of it."""

    name: str
    path: Path
    calls_tools: bool


_CALLS_TOOLS = {"qwen2.5-1.5b": True, "smollm2-135m": False}


def find_weights(settings: LlamaCppSettings) -> Weights:
    """The file of the model that the settings name, fetched first if need be.

    Raises:
        SystemExit: When there is no such file, or it cannot be fetched.
    """
    if settings.model in _CALLS_TOOLS:
        name, path = settings.model, next(model_fetch.ensure(settings.model).glob("*.gguf"))
    else:
        path = Path(settings.model).expanduser()
        name = path.stem
        if not path.is_file():
            raise SystemExit(
                f"STAGEWIRE_LLM_LLAMACPP_MODEL={settings.model}: neither "
                f"{' nor '.join(_CALLS_TOOLS)}, and there is no such file"
            )
    calls_tools = _CALLS_TOOLS.get(name, False) if settings.tools is None else settings.tools
    return Weights(name, path, calls_tools)
