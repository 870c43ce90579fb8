"""``python -m stagewire_tts``."""

from __future__ import annotations

from stagekit.server import run

from stagewire_tts.service import build
from stagewire_tts.settings import TtsSettings

if __name__ == "__main__":
    run("stagewire_tts", "Speech synthesis: the tts stage.", TtsSettings, build)
