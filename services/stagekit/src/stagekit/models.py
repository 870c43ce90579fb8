"""The models that stagewire runs, as ``models.toml`` names them, and their place on this disk."""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A file inside a Python package: ``package==version:path``."""

    requirement: str
    path: str


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: Its file name.
        size: Bytes.
        sha256: What decides whether the bytes are right.
        hub: Path of the public original under a Hugging Face endpoint; empty when it has none.
        parts: Files inside packages that, joined in order, are the same bytes.
    """

    name: str
    size: int
    sha256: str
    hub: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Model:
    """One model; the fields are the manifest's."""

    name: str
    purpose: str
    licence: str
    home: str
    package_licence: str
    files: tuple[ModelFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def manifest() -> dict[str, Model]:
    """Every model by name."""
    entries = tomllib.loads(files("stagekit").joinpath("models.toml").read_text("utf-8"))
    return {name: _model(name, entry) for name, entry in entries.items()}


def _model(name: str, entry: dict[str, object]) -> Model:
    fields = dict(entry)
    listed = fields.pop("files")
    assert isinstance(listed, list)
    return Model(
        name=name,
        files=tuple(
            ModelFile(
                name=file["name"],
                size=file["bytes"],
                sha256=file["sha256"],
                hub=file.get("hub", ""),
                parts=tuple(Part(*part.split(":", 1)) for part in file["parts"]),
            )
            for file in listed
        ),
        **{key: str(value) for key, value in fields.items()},
    )


def cache() -> Path:
    """Where models are kept: ``STAGEWIRE_MODELS_DIR``, or the user's cache folder."""
    if chosen := os.environ.get("STAGEWIRE_MODELS_DIR"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "stagewire" / "models"
