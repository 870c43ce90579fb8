"""``python -m stagewire_motion_bridge``."""

from __future__ import annotations

from stagekit.server import run

from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings
from stagewire_motion_bridge.service import build
from stagewire_motion_bridge.settings import MotionBridgeSettings

if __name__ == "__main__":
    run(
        "stagewire_motion_bridge",
        "Facial motion: the motion_bridge stage.",
        MotionBridgeSettings,
        build,
        also=[SpatiusSettings],
    )
