"""The orchestrator's settings."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from stagekit.origins import LOCAL
from stagekit.settings import StageSettings

from stagewire_orchestrator.policy import Policy

_PREFIX = "STAGEWIRE_ORCHESTRATOR_"
_CLOUD = ".livekit.cloud"


def _also(plain: str) -> AliasChoices:
    """A variable that is also read without the prefix: other programs know it by that name."""
    return AliasChoices(_PREFIX + plain, plain)


class OrchestratorSettings(StageSettings):
    """``STAGEWIRE_ORCHESTRATOR_*``."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", populate_by_name=True)

    port: int = Field(50050, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    http_host: str = Field("127.0.0.1", description="Address of the HTTP session API.")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP session API.")
    asr_target: str = Field("127.0.0.1:50051", description="The asr stage, host:port.")
    llm_target: str = Field("127.0.0.1:50052", description="The llm stage.")
    tts_target: str = Field("127.0.0.1:50053", description="The tts stage.")
    motion_bridge_target: str = Field("127.0.0.1:50054", description="The motion_bridge stage.")
    egress_target: str = Field("127.0.0.1:50055", description="The egress stage.")
    trace_url: str = Field(
        "",
        description="Where the page links a session's trace, with {trace_id} in it, such as "
        "http://localhost:16686/trace/{trace_id}; empty: no link.",
    )
    page_websockets: str = Field(
        "ws: wss:",
        description="Where the page's policy lets its WebSocket go: origins such as "
        "wss://egress.example.com, with spaces between. As it is: anywhere, for only a session "
        "says where its egress is. LiveKit's own address is allowed besides.",
    )
    page_sessions_url: str = Field(
        "",
        description="Who creates the page's sessions, http(s):// or a path of the page's own "
        "origin: your backend, which holds the API key and decides about visitors. Empty: the "
        "page asks this orchestrator, and its visitor for a key where there are API_KEYS.",
    )
    avatars: str = Field("", description="Avatar profiles, a YAML file; empty: the packaged ones.")
    microphone_hertz: int = Field(
        16_000, ge=8_000, le=48_000, description="Rate in which egress hands on the microphone."
    )
    end_of_turn_probability: float = Field(
        Policy.end_of_turn_probability,
        ge=0,
        le=1,
        description="From here on asr's judgement ends the user's turn.",
    )
    speculate: bool = Field(
        Policy.speculate, description="Prepare answers before the user's turn is surely over."
    )
    join_timeout: float = Field(
        Policy.join_timeout, gt=0, description="Seconds that a session waits for its first client."
    )
    leave_grace: float = Field(
        Policy.leave_grace, ge=0, description="Seconds that a session waits for a client that left."
    )
    max_session_seconds: float = Field(
        4 * 3600.0, gt=0, description="A session ends after this long whatever happens."
    )

    timeline_sessions: int = Field(
        100, ge=0, description="Newest sessions whose timeline is kept, in memory; 0: none."
    )
    timeline_megabytes: int = Field(
        32, ge=1, description="What all timelines may take; the oldest make room."
    )
    timeline_content: bool = Field(
        False,
        description="Timelines keep what was said and how loud it was, too; else only when what "
        "happened. The sound itself is never kept.",
    )

    api_keys: SecretStr = Field(
        SecretStr(""),
        description="Who may call the session API, by HTTP or gRPC: keys, comma-separated; "
        "`sha256:HEX` stands for a key by its hash, `@/a/file` for a file with one of these a "
        "line. Empty: anybody, which is refused unless HTTP_HOST is loopback or ALLOW_ANONYMOUS is "
        "set.",
    )
    allow_anonymous: bool = Field(
        False, description="Serve the HTTP API without API_KEYS on an address that others reach."
    )
    open_drop_in: bool = Field(
        False,
        description="Serve /token and /api/* without a key although there are API_KEYS: the demo "
        "clients that call them send none.",
    )
    cors_origins: str = Field(
        LOCAL,
        description="Pages that may call the HTTP API, comma-separated; `*` stands for any "
        "characters but `/`, alone for every page.",
    )
    requests_per_minute: float = Field(
        600.0, gt=0, description="HTTP requests of one key, or one address, taken for ever."
    )
    token_seconds: float = Field(
        3600.0, ge=60, description="How long a client's API token, and a LiveKit token, is valid."
    )

    livekit_url: str = Field(
        "",
        validation_alias=_also("LIVEKIT_URL"),
        description="The LiveKit server, ws:// or wss://; empty: none.",
    )
    livekit_public_url: str = Field(
        "",
        description="What clients, and a motion engine that publishes by itself, are told instead, "
        "when they reach it by another address.",
    )
    livekit_api_key: str = Field(
        "", validation_alias=_also("LIVEKIT_API_KEY"), description="Its API key."
    )
    livekit_api_secret: SecretStr = Field(
        SecretStr(""), validation_alias=_also("LIVEKIT_API_SECRET"), description="The key's secret."
    )
    spatius_app_id: str = Field(
        "",
        validation_alias=_also("SPATIUS_APP_ID"),
        description="Told to Spatius' demo clients: they need one.",
    )
    spatius_avatar_id: str = Field(
        "",
        validation_alias=_also("SPATIUS_AVATAR_ID"),
        description="The default avatar's id at Spatius, unless its profile names one.",
    )
    spatius_region: str = Field(
        "us-west",
        validation_alias=_also("SPATIUS_REGION"),
        description="Told to Spatius' demo clients.",
    )

    @field_validator("livekit_url", "livekit_public_url")
    @classmethod
    def _is_websocket(cls, value: str) -> str:
        if value and not value.startswith(("ws://", "wss://")):
            raise ValueError("must begin with ws:// or wss://")
        return value

    @field_validator("page_websockets")
    @classmethod
    def _is_sources(cls, value: str) -> str:
        for source in value.split():
            if not re.fullmatch(r"wss?:(//[\w.*:\[\]-]+)?", source):
                raise ValueError(f"{source!r} is neither ws:, wss: nor an origin with one of them")
        return value

    @field_validator("page_sessions_url")
    @classmethod
    def _is_page_url(cls, value: str) -> str:
        # It goes into a header: nothing may end the policy's directive there.
        if value and not re.fullmatch(r"(https?://[\w.:\[\]-]+)?/[^\s;,]*", value):
            raise ValueError("must be http://…/…, https://…/… or a path that begins with /")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> OrchestratorSettings:
        secret = self.livekit_api_secret.get_secret_value()
        if self.livekit_url and not (self.livekit_api_key and secret):
            raise ValueError("LIVEKIT_URL needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
        open_to_all = not self.api_keys.get_secret_value() and not self.allow_anonymous
        if open_to_all and not _is_loopback(self.http_host):
            raise ValueError(
                f"HTTP_HOST={self.http_host} is reached by others: set API_KEYS, or "
                "ALLOW_ANONYMOUS=true if something in front of it decides who may call"
            )
        return self

    def page_connects(self) -> list[str]:
        """Where the page may connect beside its own origin: egress, and the rooms' server."""
        sources = self.page_websockets.split()
        livekit = urlsplit(self.livekit_public_url or self.livekit_url)
        if livekit.netloc:
            hosts = [livekit.netloc.rpartition("@")[2]]
            if hosts[0].endswith(_CLOUD):  # its client also tries the project's other regions
                hosts.append(f"*{_CLOUD}")
            # By HTTP the client asks why it was not let in.
            http = livekit.scheme.replace("ws", "http")
            sources += [f"{scheme}://{host}" for host in hosts for scheme in (livekit.scheme, http)]
        return sources

    def policy(self) -> Policy:
        """The conversation's numbers."""
        return Policy(
            end_of_turn_probability=self.end_of_turn_probability,
            speculate=self.speculate,
            join_timeout=self.join_timeout,
            leave_grace=self.leave_grace,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
