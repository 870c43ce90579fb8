"""Backends by name, found by entry point: a package of anybody's adds one by being installed.

In the package's ``pyproject.toml``::

    [project.entry-points."stagewire.tts.backends"]
    myvoice = "my_package.tts:create"
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def names(stage: str) -> list[str]:
    """The installed backends of a stage, sorted."""
    return sorted({entry.name for entry in entry_points(group=f"stagewire.{stage}.backends")})


def find(stage: str, name: str) -> Any:
    """The factory that the entry point ``name`` of group ``stagewire.<stage>.backends`` names.

    Raises:
        SystemExit: When there is none; the message lists those that are installed, or what failed
            to import.
    """
    for entry in entry_points(group=f"stagewire.{stage}.backends"):
        if entry.name == name:
            try:
                return entry.load()
            except ImportError as error:
                raise SystemExit(
                    f"STAGEWIRE_{stage.upper()}_BACKEND={name}: {error}. Install what this backend "
                    f"needs: pip install 'stagewire-{stage.replace('_', '-')}[{name}]'"
                ) from error
    raise SystemExit(
        f"STAGEWIRE_{stage.upper()}_BACKEND={name}: no such backend; installed are: "
        f"{', '.join(names(stage)) or 'none'}"
    )
