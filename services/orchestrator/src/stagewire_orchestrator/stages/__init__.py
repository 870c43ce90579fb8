"""The stages as the orchestrator sees them, a file each.

``asr``, ``motion_bridge`` and ``egress`` hold a stream for the whole session, kept alive by
``link``; ``llm`` and ``tts`` make a call for each turn, again where ``retry`` says so.
"""
