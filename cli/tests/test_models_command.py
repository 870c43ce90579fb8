"""``stagewire models`` as its user sees it; stagekit's own tests cover the fetching."""

import hashlib
from pathlib import Path

import pytest
from stagekit import model_fetch
from stagekit.models import Model, ModelFile, manifest
from stagewire_cli import main, models


def run(*arguments: str) -> int:
    parsed = main.parser().parse_args(["models", *arguments])
    return int(parsed.run(parsed))


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAGEWIRE_MODELS_DIR", str(tmp_path))


def test_list_tells_size_licence_home_and_presence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    told = capsys.readouterr().out
    for model in manifest().values():
        assert f"{model.name}  {model.size / 1e6:,.0f} MB  not here" in told
        assert model.licence in told
        assert model.home in told
    assert "set small: 260 MB" in told


def test_sets_and_models_can_be_mixed_and_nothing_is_named_twice() -> None:
    assert [model.name for model in models.chosen(["small", "smart-turn", "qwen2.5-1.5b"])] == [
        "whisper-base",
        "silero-vad",
        "smart-turn",
        "smollm2-135m",
        "sphinx-en-us",
        "qwen2.5-1.5b",
    ]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"unknown model 'gpt'; there are whisper-base, .*small"):
        run("fetch", "gpt")


def test_verify_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "silero-vad") == 1
    told = capsys.readouterr().out
    assert "silero-vad: missing or wrong: silero_vad_v6.onnx" in told
    assert "`stagewire models fetch`" in told


def test_fetch_replaces_wrong_bytes_and_shows_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = b"right"
    file = ModelFile("toy.bin", len(right), hashlib.sha256(right).hexdigest(), "", ())
    toy = Model("toy", "", "", "", "", (file,))
    monkeypatch.setattr(models, "manifest", lambda: {"toy": toy})

    def bring(model: Model, progress: model_fetch.Progress) -> Path:
        assert not (tmp_path / "toy" / "toy.bin").exists(), "the wrong file is still there"
        progress("toy.bin", 2, 5)
        (tmp_path / "toy" / "toy.bin").write_bytes(right)
        progress("toy.bin", 5, 5)
        return tmp_path / "toy"

    monkeypatch.setattr(model_fetch, "fetch", bring)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.bin").write_bytes(b"wrong")
    assert run("fetch", "toy") == 0
    told = capsys.readouterr()
    assert "toy/toy.bin" in told.err
    assert "100%" in told.err
    assert run("verify", "toy") == 0


def test_a_failed_fetch_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAGEWIRE_MODELS_FROM", "moon")
    assert run("fetch", "silero-vad") == 1
    assert "STAGEWIRE_MODELS_FROM=moon" in capsys.readouterr().err
