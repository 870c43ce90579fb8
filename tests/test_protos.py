"""The contract's own checks: that they pass, and that they catch what they are there to catch."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[1] / "protos"
MODULES = sorted(
    ".".join(path.relative_to(PROTOS / "python").with_suffix("").parts)
    for path in (PROTOS / "python").rglob("*_pb2*.py")
)


def check(folder: Path) -> "subprocess.CompletedProcess[str]":
    tools = Path(sys.executable).parent
    return subprocess.run(
        [folder / "check"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
    )


def git(folder: Path, *arguments: str) -> None:
    someone = ("-c", "user.name=Someone", "-c", "user.email=someone@example.com")
    subprocess.run(["git", "-C", folder, *someone, *arguments], check=True, capture_output=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository in which this contract is released as v1.0.0."""
    shutil.copytree(PROTOS, tmp_path / "protos")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "The contract")
    git(tmp_path, "tag", "v1.0.0")
    return tmp_path / "protos"


def change(copy: Path, file: str, old: str, new: str) -> None:
    path = copy / file
    text = path.read_text()
    assert old in text, "the test is older than the contract"
    path.write_text(text.replace(old, new, 1))


def test_the_contract_is_clean(copy: Path) -> None:
    ran = check(copy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "buf breaking against v1.0.0" in ran.stdout


def test_without_a_release_the_check_says_what_it_skips(copy: Path) -> None:
    git(copy, "tag", "-d", "v1.0.0")
    ran = check(copy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "buf breaking: skipped, there is no tag to compare with" in ran.stdout


def test_a_field_without_a_comment_is_refused(copy: Path) -> None:
    change(copy, "stagewire/common/v1/audio.proto", "  // Sample layout.\n", "")
    ran = check(copy)
    assert ran.returncode != 0
    assert "non-empty comment" in ran.stdout


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("int64 start_sample = 2;", "int32 start_sample = 2;", "changed type"),
        ("int64 start_sample = 2;", "int64 start_sample = 3;", "was deleted"),
        ("bytes data = 1;", "bytes payload = 1;", "changed name"),
    ],
)
def test_a_break_of_the_released_contract_is_caught(
    copy: Path, old: str, new: str, told: str
) -> None:
    change(copy, "stagewire/common/v1/audio.proto", old, new)
    ran = check(copy)
    assert ran.returncode != 0
    assert "buf breaking against v1.0.0" in ran.stdout
    assert told in ran.stdout + ran.stderr


def test_an_added_field_is_no_break_but_makes_the_generated_code_stale(copy: Path) -> None:
    added = "int64 start_sample = 2;\n  // Loudness, in dBFS.\n  float loudness = 3;"
    change(copy, "stagewire/common/v1/audio.proto", "int64 start_sample = 2;", added)
    ran = check(copy)
    assert ran.returncode != 0
    assert "generated code" in ran.stdout
    assert "protos/python is stale" in ran.stderr


@pytest.mark.parametrize("change_it", [lambda p: p.unlink(), lambda p: p.write_text("# edited\n")])
def test_a_generated_file_that_is_missing_or_edited_is_caught(
    copy: Path, change_it: object
) -> None:
    assert callable(change_it)
    change_it(copy / "python/stagewire/asr/v1/asr_pb2_grpc.py")
    assert "protos/python is stale" in check(copy).stderr


def test_a_generated_file_without_its_proto_is_caught(copy: Path) -> None:
    (copy / "python/stagewire/asr/v1/old_pb2.py").write_text("")
    assert "protos/python is stale" in check(copy).stderr


@pytest.mark.parametrize("module", MODULES)
def test_every_generated_module_is_importable(module: str) -> None:
    assert importlib.import_module(module).__name__ == module


def test_every_proto_file_has_its_module() -> None:
    stems = [path.relative_to(PROTOS).with_suffix("") for path in PROTOS.rglob("*.proto")]
    named = {".".join(stem.parts) + "_pb2" for stem in stems}
    assert named <= set(MODULES)
