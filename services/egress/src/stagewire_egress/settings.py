"""What the egress stage can be told."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings

_LOCAL_ORIGINS = (
    "http://localhost:*, https://localhost:*, http://127.0.0.1:*, https://127.0.0.1:*, "
    "http://[::1]:*, https://[::1]:*"
)


class EgressSettings(StageSettings):
    """The egress stage's settings: ``STAGEWIRE_EGRESS_*``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_EGRESS_", extra="ignore")

    port: int = Field(50055, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    websocket_host: str = Field(
        "127.0.0.1", description="Address the WebSocket listens on; 0.0.0.0 in a container."
    )
    websocket_port: int = Field(
        8081, ge=0, le=65535, description="WebSocket port; 0 picks a free one."
    )
    public_url: str = Field(
        "",
        description="Where clients reach the WebSocket, such as wss://avatar.example.com/v1/join. "
        "Empty: ws://HOST:PORT/v1/join as it listens.",
    )
    websocket_origins: str = Field(
        _LOCAL_ORIGINS,
        description="Pages that may connect, comma-separated; `*` stands for any characters but "
        "`/`, alone for every page. A client that sends no Origin (not a browser) may always.",
    )
    join_seconds: float = Field(
        5.0, gt=0, description="How long a new connection may take to send `join`."
    )
    return_seconds: float = Field(
        10.0, ge=0, description="How long a turn waits for a client that has gone to come back."
    )
    stall_seconds: float = Field(
        10.0, gt=0, description="How long a client may read nothing before it is closed (4408)."
    )
    ping_seconds: float = Field(
        10.0, gt=0, description="Time between keepalive pings, and the time to answer one."
    )
    max_media_bytes: int = Field(
        4 << 20,
        ge=1 << 16,
        description="Voice and motion held for one client until it has played them. Must exceed "
        "the orchestrator's lead (10 s of voice).",
    )

    livekit_join_seconds: float = Field(
        1.8, gt=0, description="How long joining a LiveKit room may take."
    )
    livekit_speaker: Literal["first", "floor"] = Field(
        "first",
        description="Whose microphone is heard when several people are in a room. first: who "
        "speaks or types first owns the conversation until they leave; floor: whoever begins to "
        "speak after the last speaker has been silent for 1.5 s.",
    )
    livekit_lips_seconds: float = Field(
        0.5,
        ge=0,
        description="How long a turn's voice waits for its first motion before it enters a room: "
        "WebRTC lets nobody hold a voice back afterwards.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_websocket(cls, value: str) -> str:
        if value and not value.startswith(("ws://", "wss://")):
            raise ValueError("must begin with ws:// or wss://")
        return value

    def origins(self) -> list[re.Pattern[str] | None]:
        """The allowed Origin headers as patterns; None stands for an absent header."""
        globs = [glob.strip() for glob in self.websocket_origins.split(",") if glob.strip()]
        return [None, *(_pattern(glob) for glob in globs)]


def _pattern(glob: str) -> re.Pattern[str]:
    if glob == "*":
        return re.compile(".*")
    pattern = re.escape(glob).replace(r"\*", "[^/]*")
    # A browser leaves the scheme's default port out of the Origin.
    pattern = re.sub(r":\[\^/\]\*$", r"(:[0-9]+)?", pattern)
    return re.compile(pattern)
