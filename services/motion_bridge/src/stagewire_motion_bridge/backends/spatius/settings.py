"""What the ``spatius`` backend can be told; the vendor's own names where its demos use them."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "STAGEWIRE_MOTION_BRIDGE_SPATIUS_"


def _also(vendor: str, ours: str) -> AliasChoices:
    return AliasChoices(vendor, PREFIX + ours)


class SpatiusSettings(BaseSettings):
    """``STAGEWIRE_MOTION_BRIDGE_SPATIUS_*``; the vendor's own names win where it has some."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    api_key: SecretStr = Field(
        min_length=1,
        validation_alias=_also("SPATIUS_API_KEY", "API_KEY"),
        description="API key of the account. Never leaves this process but to mint tokens.",
    )
    app_id: str = Field(
        min_length=1,
        validation_alias=_also("SPATIUS_APP_ID", "APP_ID"),
        description="App id.",
    )
    avatar_id: str = Field(
        "",
        validation_alias=_also("SPATIUS_AVATAR_ID", "AVATAR_ID"),
        description="Avatar of sessions that name none.",
    )
    regions: str = Field(
        "auto",
        validation_alias=_also("SPATIUS_REGION", "REGIONS"),
        description="Where to connect: the first, then the next when it fails, "
        "such as us-west,ap-northeast; auto lets the vendor choose.",
    )
    console_endpoint: str = Field(
        "",
        validation_alias=_also("SPATIUS_CONSOLE_ENDPOINT", "CONSOLE_ENDPOINT"),
        description="Base URL of the token route; overrides the region.",
    )
    ingress_endpoint: str = Field(
        "",
        validation_alias=_also("SPATIUS_INGRESS_ENDPOINT", "INGRESS_ENDPOINT"),
        description="Base URL of Motion Server; overrides the region.",
    )
    audio: Literal["pcm", "opus"] = Field(
        "pcm", description="How speech goes up; opus needs the extra `opus`."
    )
    bitrate: int = Field(32_000, ge=6_000, le=510_000, description="Of Opus, bits per second.")
    query_auth: bool = Field(False, description="Credentials in the query instead of headers.")
    extra_params: dict[str, str] = Field(
        default_factory=dict, description='The vendor\'s own options, as JSON: {"name": "value"}.'
    )
    token_seconds: int = Field(
        3_600, ge=60, lt=86_400, description="How long a session's token is valid."
    )
    connect_seconds: float = Field(
        5.0,
        gt=0,
        description="How long one connection may take, and how long `open` waits for the first.",
    )
    first_motion_wait: float = Field(
        0.8, ge=0, description="How long a turn's first sound is worth holding for its motion."
    )
    late_seconds: float = Field(
        3.0,
        gt=0,
        description="Motion that is due and does not come for so long is given up for the turn.",
    )
    window_seconds: float = Field(
        4.0,
        ge=0,
        description="The most audio that Motion Server collects before it answers.",
    )
    room_grace: float = Field(
        2.0,
        ge=0,
        description="In a room, whose listeners nobody counts here: how long after its voice a "
        "turn can still be interrupted.",
    )
    full_seconds: float = Field(
        30.0, gt=0, description="Pause before another try when the account's places are taken."
    )
    attempts: int = Field(
        6, ge=1, description="Connections tried in a row; the next turn begins anew."
    )
    idle_seconds: float = Field(
        300.0,
        ge=0,
        description="Without a turn for so long the session is closed until the next; 0: never.",
    )
    max_session_seconds: float = Field(
        0.0,
        ge=0,
        description="A session this old is replaced between two turns, before the plan's limit "
        "does it within one; 0: never.",
    )
    pool_size: int = Field(
        0, ge=0, le=32, description="Sessions kept ready for conversations to come; each is billed."
    )
    pool_seconds: float = Field(
        60.0, gt=0, description="How long a ready session may wait before it is replaced."
    )
    telemetry: bool = Field(
        False, description="The vendor's own telemetry, which its SDK sends home by default."
    )

    def region_list(self) -> list[str]:
        """The regions to try, in order; at least one."""
        return [name.strip() for name in self.regions.split(",") if name.strip()] or ["auto"]
