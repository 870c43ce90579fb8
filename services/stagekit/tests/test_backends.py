"""Backends by entry point, of packages that lie on sys.path as installed ones do."""

from pathlib import Path

import pytest
from stagekit import backends


@pytest.fixture(autouse=True)
def _third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "someones_voice-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones-voice\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[stagewire.motion_bridge.backends]\n"
        "theirs = someones_voice:create\n"
        "broken = someones_voice.vendor:create\n"
    )
    (tmp_path / "someones_voice.py").write_text("def create():\n    return 'made by them'\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_an_installed_package_adds_a_backend() -> None:
    assert "theirs" in backends.names("motion_bridge")
    assert backends.find("motion_bridge", "theirs")() == "made by them"


def test_an_unknown_name_lists_the_installed_ones() -> None:
    message = r"STAGEWIRE_MOTION_BRIDGE_BACKEND=nope: no such backend; installed are: .*theirs"
    with pytest.raises(SystemExit, match=message):
        backends.find("motion_bridge", "nope")


def test_a_backend_whose_needs_are_missing_says_how_to_install_them() -> None:
    with pytest.raises(SystemExit, match=r"pip install 'stagewire-motion-bridge\[broken\]'"):
        backends.find("motion_bridge", "broken")
