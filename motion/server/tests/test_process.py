"""The real process: what it prints, and how it ends."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import spatius

SERVER = [sys.executable, "-m", "stagewire_motion_server"]
FREE = ["--port", "0", "--admin-port", "0", "--loudness-only"]

# The SDK with its telemetry on sends its trace context along. The endpoint is loopback's port 9,
# where nothing listens; os._exit spares the exporter's farewell.
TRACED = """
import asyncio, os, spatius
from stagewire_motion_codec import spatius as codec
spatius.configure_telemetry("http://127.0.0.1:9")
async def main():
    stamps, ended = set(), asyncio.Event()
    def frames(payload, last):
        stamps.add(codec.unpack(payload).traceparent)
        last and ended.set()
    config = {name[8:].lower(): os.environ[name] for name in os.environ if name[:8] == "SPATIUS_"}
    endpoints = {f"{way}_endpoint_url": config.pop(f"{way}_endpoint") for way in
                 ("console", "ingress")}
    async with spatius.new_avatar_session(transport_frames=frames, **config, **endpoints) as sdk:
        await sdk.send_audio(bytes(96000), end=True)
        await asyncio.wait_for(ended.wait(), 20)
    print(*stamps, flush=True)
    os._exit(0)
asyncio.run(main())
"""


class Server:
    """A process, the lines that it has said, and the variables that it told to export."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(
            target=lambda: [lines.put(line) for line in self.process.stdout or ()], daemon=True
        ).start()
        self.first = lines.get(timeout=30)
        exports = [lines.get(timeout=30) for _ in range(5)]
        pairs = [re.fullmatch(r"export (SPATIUS_\w+)=(\S+)\n", line) for line in exports]
        self.exports = {pair[1]: pair[2] for pair in pairs if pair}

    def session(self, **config: Any) -> spatius.AvatarSession:
        return spatius.new_avatar_session(
            api_key=self.exports["SPATIUS_API_KEY"],
            app_id=self.exports["SPATIUS_APP_ID"],
            avatar_id=self.exports["SPATIUS_AVATAR_ID"],
            console_endpoint_url=self.exports["SPATIUS_CONSOLE_ENDPOINT"],
            ingress_endpoint_url=self.exports["SPATIUS_INGRESS_ENDPOINT"],
            **config,
        )


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    servers = []

    def begin(*flags: str, command: list[str] = SERVER) -> Server:
        servers.append(Server([*command, *FREE, *flags]))
        return servers[-1]

    yield begin
    for server in servers:
        server.process.kill()
        server.process.wait()


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVER, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "command", [SERVER, [sys.executable, "-m", "stagewire_cli", "motion-server"]]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_from_start_to_signal(
    start: Any, new_sdk: Any, command: list[str], number: int, voice: Any
) -> None:
    server = start(command=command)
    assert re.match(r"Motion Server listens on 127\.0\.0\.1:\d+; admin http://127", server.first)
    assert server.exports["SPATIUS_API_KEY"] == "local"
    errors: list[Any] = []
    closed: list[bool] = []
    async with server.session(
        on_error=errors.append, on_close=lambda: closed.append(True)
    ) as session:
        await session.send_audio(voice(30.0))
        server.process.send_signal(number)
        await session._read_task
    assert [error.close_code for error in errors] == [1012]
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.process.stderr.read()


async def test_the_admin_calls_of_the_process(start: Any) -> None:
    server = start("--fault", "latency=0.5", "--fault", "times=3", "--low-latency")
    admin = server.first.split()[-1]
    async with aiohttp.ClientSession() as http, http.get(admin) as answer:
        state = await answer.json()
    assert state["faults"] == {"latency": 0.5, "times": 3}
    assert state["windows_seconds"] == [0.2, 0.2]


def test_the_sdks_trace_goes_on(start: Any) -> None:
    server = start()
    said = subprocess.run(
        [sys.executable, "-c", TRACED],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **server.exports},
    )
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]\n", said.stdout), said.stderr[-2000:]


def test_neither_keys_nor_tokens_are_logged(start: Any) -> None:
    server = start("--api-key", "SECRET-KEY", "--log-level", "debug")
    assert "SECRET" not in server.first + str(server.exports)
    server.process.terminate()
    assert "SECRET" not in server.process.stderr.read()


def test_a_port_that_is_taken(start: Any) -> None:
    port = start().exports["SPATIUS_CONSOLE_ENDPOINT"].split(":")[2].split("/")[0]
    second = ran("--port", port, "--admin-port", "0", "--loudness-only")
    assert second.returncode == 1
    assert second.stderr.startswith("cannot listen")
    assert port in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--fault", "latency"], "NAME=VALUE"),
        (["--fault", "latncy=1"], "latncy"),
        (["--fault", "close_code=1006"], "1006"),
        (["--max-sessions", "0"], "max-sessions"),
        (["--window-seconds", "81"], "window-seconds"),
        (["--window-seconds", "soon"], "window-seconds"),
        (["--no-such-flag"], "no-such-flag"),
    ],
)
def test_flags_that_are_wrong(flags: list[str], said: str) -> None:
    told = ran(*flags)
    assert told.returncode == 2
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_help_names_every_flag_and_fault() -> None:
    told = ran("--help").stdout
    for word in ("--low-latency", "--session-seconds", "at_message", "token_status", "/faults"):
        assert word in told


def test_without_its_model_it_says_what_to_do(tmp_path: Any) -> None:
    told = subprocess.run(
        [*SERVER, "--port", "0", "--admin-port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "STAGEWIRE_MODELS_DIR": str(tmp_path),
            "STAGEWIRE_MODELS_FROM": "nowhere",
        },
    )
    assert told.returncode == 1
    assert "--loudness-only does without it" in told.stderr
    assert "Traceback" not in told.stderr
