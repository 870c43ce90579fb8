"""Avatar profiles: the persona, voice, greeting and stage choices behind an avatar id."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2


class Stages(BaseModel):
    """Other stage instances than the deployment's own; an empty target means the deployment's."""

    model_config = ConfigDict(extra="forbid")

    asr: str = ""
    llm: str = ""
    tts: str = ""
    motion_bridge: str = ""
    egress: str = ""


class Avatar(BaseModel):
    """One profile."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="What people call it.")
    persona: str = Field(min_length=1, description="The language model's system message.")
    greeting: str = Field("", description="Spoken when the client joins; empty for none.")
    look: str = Field(
        "ava",
        pattern=r"^[a-z0-9-]+$",
        description="The head that the page shows: ava, max or zuri.",
    )
    voice: str = Field("", description="A voice id of the tts stage; empty for its default.")
    motion_avatar_id: str = Field(
        "", description="The avatar's id at the motion engine; empty for the engine's default."
    )
    publisher: Literal["egress", "motion_engine"] = Field(
        "egress",
        description="Who publishes voice and motion into a LiveKit room, unless a session says: "
        "egress, or the motion engine by itself, which needs a motion_avatar_id.",
    )
    language: str = Field("en-US", description="BCP 47.")
    speaking_rate_percent: int = Field(100, ge=50, le=200)
    temperature: float = Field(0.4, ge=0, le=2)
    max_output_tokens: int = Field(120, ge=1)
    phrases: list[str] = Field(
        default_factory=list, max_length=100, description="Names and words that users will say."
    )
    stages: Stages = Field(default_factory=Stages)


def load(path: str = "", motion_avatar_id: str = "") -> dict[str, Avatar]:
    """Profiles by avatar id; the first is the default.

    Args:
        path: A YAML file; empty: the packaged ones.
        motion_avatar_id: The default avatar's, unless its profile names one.

    Raises:
        SystemExit: When the file cannot be read or a profile is wrong; names file, id and field.
    """
    source = Path(path) if path else files("stagewire_orchestrator").joinpath("avatars.yaml")
    try:
        profiles = yaml.safe_load(source.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SystemExit(f"STAGEWIRE_ORCHESTRATOR_AVATARS={path}: {error}") from error
    if not isinstance(profiles, dict) or not profiles:
        raise SystemExit(f"{source}: must map at least one avatar id to its profile")
    avatars: dict[str, Avatar] = {}
    for avatar_id, profile in profiles.items():
        try:
            avatars[str(avatar_id)] = Avatar.model_validate(profile)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise SystemExit(f"{source}: avatar {avatar_id}: {field}: {problem['msg']}") from error
    default = next(iter(avatars.values()))
    default.motion_avatar_id = default.motion_avatar_id or motion_avatar_id
    return avatars


def find(avatars: Mapping[str, Avatar], wanted: str) -> str:
    """A profile's id, by that id or by the one that a motion engine's client knows it by.

    Args:
        avatars: Profiles by id; the first is the default.
        wanted: Empty: the default's.

    Raises:
        StageError: UNKNOWN_AVATAR.
    """
    if not wanted:
        return next(iter(avatars))
    if wanted in avatars:
        return wanted
    for avatar_id, avatar in avatars.items():
        if wanted == avatar.motion_avatar_id:
            return avatar_id
    raise StageError(
        error_pb2.ERROR_REASON_UNKNOWN_AVATAR,
        f"there is no such avatar id; there are: {', '.join(avatars)}",
    )
