"""``stagewire motion-server`` hands over; without its package it says what to install."""

from __future__ import annotations

import pytest
from stagewire_cli import motion_server
from stagewire_cli.main import parser


def test_its_flags_are_the_servers() -> None:
    chosen = parser().parse_args(["motion-server", "--port", "0", "--fault", "latency=1"])
    assert (chosen.port, chosen.fault) == ("0", ["latency=1"])
    assert chosen.run.__module__ == "stagewire_motion_server.command"


def test_without_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(motion_server, "find_spec", lambda _: None)
    chosen = parser().parse_args(["motion-server"])
    assert chosen.run(chosen) == 1
    assert "stagewire[motion-server]" in capsys.readouterr().err
