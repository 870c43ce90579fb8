"""Clients in LiveKit rooms: what docs/livekit.md describes."""
