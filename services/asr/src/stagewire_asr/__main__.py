"""Serves the asr stage: ``python -m stagewire_asr``."""

from __future__ import annotations

import os

# libgomp reads this when the recognizer's library is loaded. Without it, idle threads spin and
# take the cores away from the other stages of a machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from stagekit import server

from stagewire_asr.service import build
from stagewire_asr.settings import AsrSettings


def main() -> None:
    """Runs until SIGTERM."""
    server.run(
        "stagewire_asr",
        "Speech recognition: hears a session's microphone, reports words and ends of turns.",
        AsrSettings,
        build,
    )


if __name__ == "__main__":
    main()
