"""The orchestrator's settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings

from stagewire_orchestrator.policy import Policy


class OrchestratorSettings(StageSettings):
    """``STAGEWIRE_ORCHESTRATOR_*``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_ORCHESTRATOR_", extra="ignore")

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

    def policy(self) -> Policy:
        """The conversation's numbers."""
        return Policy(
            end_of_turn_probability=self.end_of_turn_probability,
            speculate=self.speculate,
            join_timeout=self.join_timeout,
            leave_grace=self.leave_grace,
        )
