"""A LiveKit server for tests: the one that LIVEKIT_URL names, or our own on free ports of loopback.

``make livekit-server`` builds the official server into the user's cache. Where the environment has
LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, that server is used.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from livekit import api
from support.processes import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stagewire"
BINARY = CACHE / "livekit-server"


class LiveKitServer:
    """A server's address and keys; tests take rooms of their own.

    Args:
        url: Such as ws://127.0.0.1:7880.
        key: An API key.
        secret: Its secret.
    """

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url = url
        self.keys = key, secret

    def token(
        self,
        identity: str,
        room: str,
        *,
        kind: api.AccessToken.ParticipantKind = "standard",
        seconds: float = 600,
        secret: str = "",
        **grants: Any,
    ) -> str:
        """A token of one room."""
        granted = api.VideoGrants(room_join=True, room=room, **grants)
        token = api.AccessToken(self.keys[0], secret or self.keys[1]).with_identity(identity)
        token = token.with_kind(kind).with_ttl(timedelta(seconds=seconds)).with_grants(granted)
        return str(token.to_jwt())

    def agent_token(self, room: str, identity: str = "avatar", **options: Any) -> str:
        """What an orchestrator mints for egress."""
        return self.token(
            identity, room, **{"kind": "agent", "can_update_own_metadata": True, **options}
        )


class OwnServer(LiveKitServer):
    """The official server as a process of our own; it can be killed and started again."""

    def __init__(self) -> None:
        # WebRTC takes UDP ports by the dozen: one that is free for TCP need not be for media.
        self._ports = [free_port(), free_port(), free_port(socket.SOCK_DGRAM)]
        key, secret = "key", secrets.token_hex(20)
        super().__init__(f"ws://127.0.0.1:{self._ports[0]}", key, secret)
        self._folder = Path(tempfile.mkdtemp(prefix="livekit-"))
        (self._folder / "config.yaml").write_text(
            "port: {}\n"
            "bind_addresses: [127.0.0.1]\n"
            "rtc:\n"
            "  tcp_port: {}\n"
            "  udp_port: {}\n"
            "  node_ip: 127.0.0.1\n"
            "  use_external_ip: false\n"
            "  enable_loopback_candidate: true\n"
            "  interfaces: {{includes: [lo]}}\n"
            "keys: {{{}: {}}}\n".format(*self._ports, key, secret)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARY), "--config", str(self._folder / "config.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[0]), 0.5).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_end = (self._folder / "log").read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"the LiveKit server did not start:\n{log_end}") from None
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends it and removes its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def any_server() -> Iterator[LiveKitServer | None]:
    """The server that the environment names, or one of our own; None where there is neither."""
    url = os.environ.get("LIVEKIT_URL")
    if url:
        yield LiveKitServer(url, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"])
    elif not BINARY.exists():
        yield None
    else:
        with own_server() as own:
            yield own


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """A server of our own while the block runs."""
    own = OwnServer()
    try:
        own.start()
        yield own
    finally:
        own.close()


def required(server: LiveKitServer | None) -> LiveKitServer:
    """The server; skips the test where there is none, which in CI is a failure."""
    if server is not None:
        return server
    reason = (
        f"no LiveKit server at {BINARY}: run `make livekit-server` (needs Go), or set "
        "LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
