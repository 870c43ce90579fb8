"""Typed settings from ``STAGEWIRE_*`` environment variables."""

from __future__ import annotations

import re
import sys
from typing import Literal, TypeVar

from pydantic import AliasChoices, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class StageSettings(BaseSettings):
    """What every service can be told. A service adds its own and sets its ``env_prefix``."""

    model_config = SettingsConfigDict(env_prefix="STAGEWIRE_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(0, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    max_sessions: int = Field(16, ge=1, description="Sessions (or turns) served at the same time.")
    drain_seconds: float = Field(
        30.0, ge=0, description="How long after SIGTERM running work may go on."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of /metrics, for Prometheus; 0: none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="A log line's form.")


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Reads the environment, or exits with status 2 naming every variable that is wrong."""
    try:
        return settings()
    except ValidationError as error:
        for problem in error.errors():
            variable = _variable(settings, problem["loc"])
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
    return "\n".join(
        f"  {_variable(settings, (name,))}={_shown(field)}\n"
        f"      {field.description or ''}{_other_names(field)}"
        for name, field in settings.model_fields.items()
    )


def _variable(settings: type[BaseSettings], location: tuple[int | str, ...]) -> str:
    """The variable of a field, which is known here by its name or by the name of its variable."""
    if not location:
        return str(settings.model_config.get("env_prefix", "")) + "*"
    field = settings.model_fields.get(str(location[0]))
    names = field.validation_alias if field is not None else None
    if isinstance(names, AliasChoices):
        return str(names.choices[0])
    known = field is not None or not str(location[0]).isupper()
    prefix = settings.model_config.get("env_prefix", "") if known else ""
    return prefix + "_".join(str(part) for part in location).upper()


def _other_names(field: FieldInfo) -> str:
    names = field.validation_alias
    others = names.choices[1:] if isinstance(names, AliasChoices) else []
    return f" Also read: {', '.join(str(name) for name in others)}." if others else ""


def _shown(field: FieldInfo) -> str:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return "" if default in (None, "") else str(default)
