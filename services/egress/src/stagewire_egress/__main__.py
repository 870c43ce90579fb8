"""``python -m stagewire_egress`` serves the egress stage."""

from stagekit.leaving import leave
from stagekit.server import run

from stagewire_egress.service import build
from stagewire_egress.settings import EgressSettings

if __name__ == "__main__":
    run(
        "stagewire_egress",
        "Carries voice, motion and events to the client, microphone and playback reports from it.",
        EgressSettings,
        build,
    )
    leave()
