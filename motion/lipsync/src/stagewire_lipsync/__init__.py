"""A voice's face: ARKit blend shapes and head pose from speech, as it streams.

``Performer`` hears a voice chunk by chunk and answers with frames. It does no I/O and needs no GPU.
"""

from __future__ import annotations

from stagewire_lipsync.frames import FRAME_RATE, Frames
from stagewire_lipsync.performer import Performer, idle_loop
from stagewire_lipsync.phonemes import PhonemeTime
from stagewire_lipsync.sphinx import SphinxModel

__all__ = ["FRAME_RATE", "Frames", "Performer", "PhonemeTime", "SphinxModel", "idle_loop"]
