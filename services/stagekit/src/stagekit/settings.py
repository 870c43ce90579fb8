"""Typed settings from ``STAGEWIRE_*`` environment variables."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class StageSettings(BaseSettings):
    """What every service can be told. A service adds its own and sets its ``env_prefix``.

    Attributes:
        plain_names: Fields that are also read from the environment under their plain upper-case
            name, such as LIVEKIT_URL, because other programs already know them by it.
    """

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_", extra="ignore")
    plain_names: ClassVar[tuple[str, ...]] = ()

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(0, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    max_sessions: int = Field(16, ge=1, description="Sessions (or turns) served at the same time.")
    drain_seconds: float = Field(
        30.0, ge=0, description="How long after SIGTERM running work may go on."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="A log line's form.")

    @model_validator(mode="before")
    @classmethod
    def _read_plain_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        plain = {name: os.environ.get(name.upper(), "") for name in cls.plain_names}
        return {**{name: value for name, value in plain.items() if value}, **given}


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Reads the environment, or exits with status 2 naming every variable that is wrong."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors():
            variable = prefix + ("_".join(str(part) for part in problem["loc"]).upper() or "*")
            print(f"{variable}: {problem['msg']}{_got(variable, problem)}", file=sys.stderr)
        print("`python -m PACKAGE --help` lists the variables.", file=sys.stderr)
        raise SystemExit(2) from None


def _got(variable: str, problem: ErrorDetails) -> str:
    """The value as it was given; never one that may be a secret, nor other variables' values."""
    whole = not problem["loc"]  # what does not fit together: its input is every variable
    secret = re.search("KEY|TOKEN|SECRET|PASSWORD", variable)
    if whole or secret or problem["type"] == "missing":
        return ""
    return f" (got {problem['input']!r})"


def describe(settings: type[BaseSettings]) -> str:
    """The variables, a line each, for ``--help``."""
    prefix = settings.model_config.get("env_prefix", "")
    plain = getattr(settings, "plain_names", ())
    return "\n".join(
        f"  {prefix}{name.upper()}={_shown(field.default)}\n      {field.description or ''}"
        + (f" Also read: {name.upper()}." if name in plain else "")
        for name, field in settings.model_fields.items()
    )


def _shown(default: object) -> str:
    return "" if default is None else str(default)
