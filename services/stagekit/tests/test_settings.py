import pytest
from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import SettingsConfigDict
from stagekit.settings import StageSettings, describe, load


class TtsSettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_TTS_", extra="ignore")

    port: int = Field(50053, ge=0, le=65535, description="gRPC port.")
    voice: str | None = Field(None, description="Who speaks.")


def test_defaults_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWIRE_TTS_HOST", "0.0.0.0")
    monkeypatch.setenv("STAGEWIRE_TTS_MAX_SESSIONS", "3")
    monkeypatch.setenv("STAGEWIRE_ASR_PORT", "1")
    settings = load(TtsSettings)
    assert (settings.host, settings.port, settings.max_sessions) == ("0.0.0.0", 50053, 3)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STAGEWIRE_TTS_PORT", "many"),
        ("STAGEWIRE_TTS_PORT", "70000"),
        ("STAGEWIRE_TTS_MAX_SESSIONS", "0"),
        ("STAGEWIRE_TTS_DRAIN_SECONDS", "-1"),
        ("STAGEWIRE_TTS_LOG_LEVEL", "loud"),
        ("STAGEWIRE_TTS_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_names_its_variable(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        load(TtsSettings)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{variable}: ")
    assert value in told


def test_every_wrong_value_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAGEWIRE_TTS_PORT", "x")
    monkeypatch.setenv("STAGEWIRE_TTS_LOG_LEVEL", "y")
    with pytest.raises(SystemExit):
        load(TtsSettings)
    told = capsys.readouterr().err
    assert "STAGEWIRE_TTS_PORT" in told
    assert "STAGEWIRE_TTS_LOG_LEVEL" in told


def test_help_lists_every_variable_with_default_and_meaning() -> None:
    told = describe(TtsSettings)
    assert "STAGEWIRE_TTS_PORT=50053\n      gRPC port." in told
    assert "STAGEWIRE_TTS_VOICE=\n      Who speaks." in told
    assert all(f"STAGEWIRE_TTS_{name.upper()}" in told for name in TtsSettings.model_fields)


class VendorSettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_TTS_VENDOR_", extra="ignore")

    api_key: str = Field(min_length=8, description="A secret.")
    region: str = Field(description="Required.")


def test_a_wrong_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAGEWIRE_TTS_VENDOR_API_KEY", "s3cr3t")
    with pytest.raises(SystemExit):
        load(VendorSettings)
    told = capsys.readouterr().err
    assert "STAGEWIRE_TTS_VENDOR_API_KEY: " in told
    assert "STAGEWIRE_TTS_VENDOR_REGION: " in told
    assert "s3cr3t" not in told


class RoomSettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_ROOM_", extra="ignore")

    livekit_url: str = Field(
        "",
        validation_alias=AliasChoices("STAGEWIRE_ROOM_LIVEKIT_URL", "LIVEKIT_URL"),
        description="The server.",
    )
    password: str = Field("", description="Of the server.")

    @model_validator(mode="after")
    def _fits(self) -> "RoomSettings":
        if self.password and not self.livekit_url:
            raise ValueError("a PASSWORD needs a LIVEKIT_URL")
        return self


def test_what_does_not_fit_together_is_said_without_any_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAGEWIRE_ROOM_PASSWORD", "hunter2")
    with pytest.raises(SystemExit):
        load(RoomSettings)
    told = capsys.readouterr().err
    assert "a PASSWORD needs a LIVEKIT_URL" in told
    assert "hunter2" not in told


def test_a_name_that_other_programs_know_is_read_and_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "ws://plain")
    assert load(RoomSettings).livekit_url == "ws://plain"
    monkeypatch.setenv("STAGEWIRE_ROOM_LIVEKIT_URL", "ws://own")
    assert load(RoomSettings).livekit_url == "ws://own"
    told = describe(RoomSettings)
    assert "STAGEWIRE_ROOM_LIVEKIT_URL=\n      The server. Also read: LIVEKIT_URL." in told
