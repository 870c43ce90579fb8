"""The orchestrator: stitches asr, llm, tts, motion_bridge and egress into conversations.

``machine`` is the heart, a state machine without I/O; ``session`` is its shell, which owns the
gRPC streams of one conversation; ``sessions`` keeps the conversations; ``service`` and ``http``
are the two faces of the session API.
"""
