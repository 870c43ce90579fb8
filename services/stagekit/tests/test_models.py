import re
import sys
from pathlib import Path

import pytest
from stagekit.models import Model, cache, manifest

MODELS = list(manifest().values())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_entry_says_what_it_is_and_where_it_comes_from(model: Model) -> None:
    assert model.purpose
    assert model.licence
    assert model.package_licence
    assert model.home.startswith("https://")
    assert len({file.name for file in model.files}) == len(model.files) > 0
    for file in model.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256), file.name
        assert file.size > 0
        assert "/" not in file.name
        assert file.hub == "" or re.match(r"[\w.-]+/[\w.-]+/resolve/[\w.-]+/", file.hub)
        assert file.parts, "a machine without internet has packages only"
        for part in file.parts:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.requirement)
            assert not part.path.startswith("/")


def test_no_two_files_claim_the_same_bytes() -> None:
    sums = [file.sha256 for model in MODELS for file in model.files]
    assert len(set(sums)) == len(sums)


def test_size_is_the_sum_of_the_files() -> None:
    assert all(model.size == sum(file.size for file in model.files) for model in MODELS)


def test_the_cache_is_where_it_is_told_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STAGEWIRE_MODELS_DIR", str(tmp_path))
    assert cache() == tmp_path


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the XDG folders are Linux'")
def test_the_cache_is_the_user_s_outside_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STAGEWIRE_MODELS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "stagewire" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache" / "stagewire" / "models"
