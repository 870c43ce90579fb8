"""``python -m stagewire_llm`` serves the language model stage."""

from __future__ import annotations

import asyncio

from stagekit import backends
from stagekit.server import Stage, run

from stagewire_llm.service import make_stage
from stagewire_llm.settings import LlmSettings


async def build(settings: LlmSettings) -> Stage:
    """Loads the backend that the settings name and makes the stage around it."""
    create = backends.find("llm", settings.backend)
    return make_stage(await asyncio.to_thread(create), settings)


if __name__ == "__main__":
    run("stagewire_llm", "Answers conversations with a language model.", LlmSettings, build)
