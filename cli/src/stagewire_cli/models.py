"""``stagewire models``: what is run, how large, under which licence; fetch and verify it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from stagekit import model_fetch
from stagekit.models import Model, cache, manifest
from tqdm import tqdm

# Which models each stage runs. MODELS=small has another language model, which decides the size, and
# hears partial texts with the model of final ones.
SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "default": {
        "asr": ("whisper-base", "whisper-tiny-en", "silero-vad", "smart-turn"),
        "llm": ("qwen2.5-1.5b",),
        "motion_bridge": ("sphinx-en-us",),
    },
    "small": {
        "asr": ("whisper-base", "silero-vad", "smart-turn"),
        "llm": ("smollm2-135m",),
        "motion_bridge": ("sphinx-en-us",),
    },
}


def add_parser(commands: Any) -> None:
    """Adds ``models`` and its three actions."""
    top = commands.add_parser(
        "models",
        help="list, fetch or verify the models",
        description="The models that stagewire runs. They are kept outside the repository, in "
        f"{cache()} (STAGEWIRE_MODELS_DIR), and every file's SHA-256 is checked.",
    )
    actions = top.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="sizes, licences, homes, and what is here")
    listing.set_defaults(run=lambda _: show())
    for name, run, text in (
        ("fetch", _fetch, "bring models here; goes on where it stopped"),
        ("verify", _verify, "check the bytes on disk"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "names",
            nargs="*",
            metavar="MODEL",
            help=f"a model, or one of the sets {', '.join(SETS)} (the default: default)",
        )
        action.set_defaults(run=lambda arguments, run=run: run(chosen(arguments.names)))


def chosen(names: list[str]) -> list[Model]:
    """The models that ``names`` (of models or of sets) stand for; none means the default set.

    Raises:
        SystemExit: For a name that is neither.
    """
    known = manifest()
    wanted: dict[str, Model] = {}
    for name in names or ["default"]:
        for model in _members(name) if name in SETS else [name]:
            if model not in known:
                raise SystemExit(
                    f"unknown model {name!r}; there are {', '.join(known)}, and the sets "
                    f"{', '.join(SETS)}"
                )
            wanted[model] = known[model]
    return list(wanted.values())


def _members(name: str) -> list[str]:
    return [model for models in SETS[name].values() for model in models]


def show() -> int:
    """Prints every model of the manifest."""
    for model in manifest().values():
        here = all((cache() / model.name / file.name).is_file() for file in model.files)
        sets = [name for name in SETS if model.name in _members(name)]
        print(f"{model.name}  {model.size / 1e6:,.0f} MB  {'here' if here else 'not here'}")
        print(f"    {model.purpose}")
        print(f"    licence: {model.licence} (of the package: {model.package_licence})")
        print(f"    home: {model.home}")
        print(f"    in the sets: {', '.join(sets) or 'none'}")
    for name in SETS:
        total = sum(manifest()[member].size for member in _members(name))
        print(f"set {name}: {total / 1e6:,.0f} MB")
    return 0


def fetch(models: list[Model]) -> None:
    """Brings the models here with a progress bar per file that is missing.

    Raises:
        stagekit.model_fetch.FetchError: When a model cannot be had.
    """
    for model in models:
        with _Bars(model.name) as bars:
            model_fetch.fetch(model, bars)


class _Bars:
    """Shows one file at a time; made only when bytes arrive, so that nothing shows otherwise."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._file = ""
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, file: str, done: int, total: int) -> None:
        if file != self._file:
            self.__exit__()
            self._file = file
            # Without a terminal (a log of CI) a line every 10 s is enough.
            interval = 0.1 if sys.stderr.isatty() else 10.0
            self._bar = tqdm(
                desc=f"{self._model}/{file}",
                total=total,
                unit="B",
                unit_scale=True,
                mininterval=interval,
            )
        assert self._bar is not None
        self._bar.update(min(done, total) - self._bar.n)


def _fetch(models: list[Model]) -> int:
    for model in models:
        for name in model_fetch.verify(model):
            (cache() / model.name / name).unlink(missing_ok=True)
    try:
        fetch(models)
    except model_fetch.FetchError as error:
        print(f"stagewire: {error}", file=sys.stderr)
        return 1
    print(f"{', '.join(model.name for model in models)}: in {cache()}")
    return 0


def _verify(models: list[Model]) -> int:
    wrong = 0
    for model in models:
        bad = model_fetch.verify(model)
        wrong += len(bad)
        print(f"{model.name}: {'ok' if not bad else 'missing or wrong: ' + ', '.join(bad)}")
    if wrong:
        print("`stagewire models fetch` brings what is missing and replaces what is wrong.")
    return 1 if wrong else 0
