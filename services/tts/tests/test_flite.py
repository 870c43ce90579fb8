from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stagekit.backends import find
from stagekit.errors import StageError
from stagewire_tts.backends.flite import FliteBackend, FliteSettings

installed = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def test_a_missing_program_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWIRE_TTS_FLITE_PROGRAM", "no-such-flite")
    with pytest.raises(SystemExit, match=r"no-such-flite.*apt-get install flite"):
        find("tts", "flite")()


def test_a_failing_program_is_a_stage_error(tmp_path: Path) -> None:
    broken = tmp_path / "flite"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    backend = FliteBackend(FliteSettings(program=str(broken)))
    with pytest.raises(StageError, match="flite failed") as failed:
        backend.synthesize("violet heron", "slt", 1.0)
    assert "heron" not in failed.value.message


@installed
@pytest.mark.parametrize("text", ["Hello there.", "-o /tmp/x", "--help", "It's $5; `rm` it\0!"])
def test_it_speaks_and_obeys_nothing(text: str) -> None:
    clause = FliteBackend(FliteSettings()).synthesize(text, "slt", 1.0)
    assert len(clause.samples) > 4_000
    assert clause.phonemes == clause.words == ()


@installed
@pytest.mark.parametrize("text", ["", "...", "😀", "你好"])
def test_nothing_to_say(text: str) -> None:
    assert len(FliteBackend(FliteSettings()).synthesize(text, "slt", 1.0).samples) == 0


@installed
def test_rate() -> None:
    backend = FliteBackend(FliteSettings())
    slow, fast = (len(backend.synthesize("Hello there.", "slt", r).samples) for r in (0.5, 2.0))
    assert slow > 2 * fast
