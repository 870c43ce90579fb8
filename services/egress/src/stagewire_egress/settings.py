"""What the egress stage can be told."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from stagekit.origins import LOCAL, pattern
from stagekit.settings import StageSettings

_PREFIX = "STAGEWIRE_EGRESS_"


def _also(plain: str) -> AliasChoices:
    """A variable that is also read without the prefix: other programs know it by that name."""
    return AliasChoices(_PREFIX + plain, plain)


class EgressSettings(StageSettings):
    """The egress stage's settings: ``STAGEWIRE_EGRESS_*``."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", populate_by_name=True)

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
        LOCAL,
        description="Pages that may connect, comma-separated; `*` stands for any characters but "
        "`/`, alone for every page. A client that sends no Origin (not a browser) may always.",
    )
    session_target: str = Field(
        "",
        description="The orchestrator's gRPC, host:port. With it, clients of Spatius' Backend Mode "
        "demos connect to /ws/agent and get a session without showing anything; empty: there is no "
        "such path.",
    )
    session_key: SecretStr = Field(
        SecretStr(""),
        description="What egress shows the orchestrator there: one of its API_KEYS, if it has any.",
    )
    instance_target: str = Field(
        "",
        description="Where the orchestrator reaches this very instance, host:port; needed for "
        "/ws/agent where there are several.",
    )
    spatius_app_id: str = Field(
        "",
        validation_alias=_also("SPATIUS_APP_ID"),
        description="Told to those clients: their SDK needs one.",
    )
    spatius_avatar_id: str = Field(
        "",
        validation_alias=_also("SPATIUS_AVATAR_ID"),
        description="The default avatar's id at Spatius.",
    )
    spatius_region: str = Field(
        "us-west", validation_alias=_also("SPATIUS_REGION"), description="Told to those clients."
    )
    join_seconds: float = Field(
        5.0,
        gt=0,
        description="How long a new connection may take to send `join`, and then to wait until its "
        "session is open (again).",
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
        0.2,
        ge=0,
        description="How long a turn's voice waits for its first motion before it enters a room: "
        "nothing can hold it back afterwards. The orchestrator waits longer where the engine asks.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_websocket(cls, value: str) -> str:
        if value and not value.startswith(("ws://", "wss://")):
            raise ValueError("must begin with ws:// or wss://")
        return value

    def origins(self) -> list[re.Pattern[str] | None]:
        """The allowed Origin headers as patterns; None stands for an absent header."""
        return [None, pattern(self.websocket_origins)]
