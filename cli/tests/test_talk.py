"""``stagewire talk`` against a real egress and a fake orchestrator, in real time."""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from stagekit.testing import channel_to
from stagewire.egress.v1 import egress_pb2, egress_pb2_grpc
from stagewire_cli import api, talk, wav
from stagewire_cli.client import JoinError, join
from stagewire_egress.service import build
from stagewire_egress.settings import EgressSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

RATE = 24_000
CHUNK = RATE // 25
LISTENING, SPEAKING = 2, 4
TOKEN = "a-token-for-tests-0123456789"
ANSWER = "Rome is the capital of Italy."


class FakeOrchestrator:
    """Fake: no stage but egress. It takes loudness for speech and answers with a tone.

    Args:
        channel: To egress.
        chunks: The length of an answer, in pieces of 40 ms.
        greets: Whether it speaks first.
        mute: Whether it never answers.
    """

    def __init__(self, channel: Any, chunks: int, greets: bool, mute: bool) -> None:
        self._call = egress_pb2_grpc.EgressServiceStub(channel).Deliver()
        self._chunks, self._greets, self._mute = chunks, greets, mute
        self._turn, self._open, self._sequence = 0, False, 0
        self._heard_speech, self._quiet = False, 0
        self._created = asyncio.Event()
        self.deleted: list[str] = []
        self.wanted: dict[str, Any] = {}
        self.ended: list[egress_pb2.TurnEnded] = []
        self.microphone = bytearray()

    async def say(self, **arm: Any) -> None:
        await self._call.write(egress_pb2.DeliverRequest(**arm))

    async def event(self, **arm: Any) -> None:
        self._sequence += 1
        await self.say(event={"session_id": "fake", "sequence": self._sequence, **arm})

    async def create(self, request: Request) -> JSONResponse:
        self.wanted = await request.json()
        if self.wanted.get("avatar_id") == "nobody":
            error = {"code": "NOT_FOUND", "reason": "UNKNOWN_AVATAR", "message": "no avatar nobody"}
            return JSONResponse({"error": error}, 404)
        pcm = {"encoding": "AUDIO_ENCODING_PCM_S16LE"}
        await self.say(
            open={
                "session_id": "fake",
                "web_socket": {"join_token": TOKEN},
                "voice_format": {**pcm, "sample_rate_hertz": RATE},
                "motion_codec": "stagewire.arkit52",
                "motion_frame_rate": 25,
                "microphone_format": {**pcm, "sample_rate_hertz": 16_000},
            }
        )
        ready = (await self._call.read()).ready
        session = {"session_id": "fake", "trace_id": "ab" * 16}
        body = {"session": session, "url": ready.join_url, "client_token": TOKEN}
        self._created.set()
        return JSONResponse(body, 201)

    async def delete(self, request: Request) -> JSONResponse:
        self.deleted.append(request.path_params["id"])
        return JSONResponse({"session": {}})

    async def serve(self) -> None:
        """Hears the client until cancelled."""
        await self._created.wait()
        while answer := await self._call.read():
            match answer.WhichOneof("message"):
                case "participant" if answer.participant.change == 1:
                    await self.event(state_changed={"state": LISTENING})
                    if self._greets:
                        await self._speak("Hello.", chunks=10)
                case "user_audio":
                    await self._hear(answer.user_audio.data)
                case "user_text":
                    await self._answer(answer.user_text.text)
                case "turn_ended":
                    await self._finish(answer.turn_ended)

    async def _hear(self, pcm: bytes) -> None:
        self.microphone += pcm
        if np.abs(np.frombuffer(pcm, "<i2")).max() > 1_000:
            self._heard_speech, self._quiet = True, 0
            if self._open:
                await self.say(interrupt={"turn": self._turn})
        else:
            self._quiet += 1
            if self._heard_speech and self._quiet == 10:
                self._heard_speech = False
                await self._answer("What is the capital of Italy?")

    async def _answer(self, question: str) -> None:
        await self.event(user_transcript={"text": question, "final": True})
        if self._mute:
            return
        await self._speak(ANSWER, self._chunks)

    async def _speak(self, text: str, chunks: int) -> None:
        self._turn, self._open = self._turn + 1, True
        turn = self._turn
        await self.event(turn=turn, avatar_transcript={"text": text})
        await self.event(state_changed={"state": SPEAKING})
        await self.say(turn_start={"turn": turn})
        tone = (8_000 * np.sin(2 * np.pi * 300 * np.arange(CHUNK) / RATE)).astype("<i2").tobytes()
        for start in range(0, chunks * CHUNK, CHUNK):
            await self.say(audio={"turn": turn, "audio": {"data": tone, "start_sample": start}})
            payload = struct.pack("<BBH", 1, 1, 25) + bytes(range(52)) + bytes(6)
            span = {"start_sample": start, "end_sample": start + CHUNK}
            await self.say(motion={"turn": turn, "payload": payload, **span})
        await self.say(end_of_turn={"turn": turn})
        part = {"name": "llm_first_token", "duration": {"nanos": 250_000_000}}
        await self.event(turn=turn, latency={"total": part["duration"], "parts": [part]})

    async def _finish(self, ended: egress_pb2.TurnEnded) -> None:
        self._open = self._open and ended.turn != self._turn
        self.ended.append(ended)
        text = ANSWER if ended.turn > self._greets else "Hello."
        share = ended.played_samples / (self._chunks * CHUNK)
        summary = {
            "reason": ended.reason,
            "text": text,
            "heard_characters": min(len(text), round(share * len(text))),
            "played_samples": ended.played_samples,
        }
        await self.event(turn=ended.turn, turn_summary=summary)
        await self.event(state_changed={"state": LISTENING})


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None: ...


@asynccontextmanager
async def stack(
    chunks: int = 20, greets: bool = False, mute: bool = False
) -> AsyncIterator[tuple[FakeOrchestrator, str]]:
    """A real egress, and the fake orchestrator's HTTP port in front of it."""
    stage = await build(EgressSettings(websocket_port=0))
    async with channel_to(stage) as channel:
        orchestrator = FakeOrchestrator(channel, chunks, greets, mute)
        app = Starlette(
            routes=[
                Route("/v1/sessions", orchestrator.create, methods=["POST"]),
                Route("/v1/sessions/{id}", orchestrator.delete, methods=["DELETE"]),
            ]
        )
        server = _Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        hearing = asyncio.create_task(orchestrator.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield orchestrator, f"http://127.0.0.1:{port}"
        finally:
            hearing.cancel()
            server.should_exit = True
            await asyncio.wait([serving, hearing])


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    talk.add_parser(parser.add_subparsers())
    return parser.parse_args(["talk", *words])


async def run(*words: str) -> int:
    given = arguments(*words)
    async with asyncio.timeout(30):
        return int(await asyncio.to_thread(given.run, given))


@pytest.fixture
def question(tmp_path: Path) -> str:
    """0.4 s of a tone, 0.2 s of silence, 44.1 kHz."""
    tone = np.sin(2 * np.pi * 200 * np.arange(17_640) / 44_100) * 12_000
    samples = np.concatenate([tone, np.zeros(8_820)]).astype("<i2")
    wav.write(tmp_path / "question.wav", samples.tobytes(), 44_100)
    return str(tmp_path / "question.wav")


async def test_a_recording_is_asked_and_its_answer_heard(
    question: str, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "new" / "out"
    async with stack(greets=True) as (orchestrator, url):
        assert await run(question, "--url", url, "--out", str(out), "--avatar", "ava") == 0
        assert orchestrator.wanted == {"avatar_id": "ava", "transport": "websocket"}
        assert orchestrator.deleted == ["fake"]
        lengths = [ended.played_samples for ended in orchestrator.ended]
        assert lengths == [10 * CHUNK, 20 * CHUNK]
        assert [ended.reason for ended in orchestrator.ended] == [1, 1]

    transcript = json.loads((out / "transcript.json").read_text())
    greeting, answer = transcript["turns"]
    assert (greeting["user"], greeting["avatar"], greeting["end"]) == ("", "Hello.", "COMPLETED")
    assert greeting["client"]["answered_after"] is None
    assert answer["user"] == "What is the capital of Italy?"
    assert answer["avatar"] == answer["heard"] == ANSWER
    assert answer["server_latency_seconds"] == {"llm_first_token": 0.25}
    # The fake answers 0.2 s after the last loud frame; a loaded machine may take longer.
    assert 0.1 < answer["client"]["answered_after"] < 3.0
    assert answer["client"]["played_seconds"] == pytest.approx(0.8)

    reply = wav.read(out / "reply.wav", RATE)
    loud = np.abs(reply) > 0.01
    begin = round(answer["client"]["first_sound_at"] * RATE)
    assert loud[begin : begin + 20 * CHUNK].mean() > 0.9
    assert loud.sum() == pytest.approx(30 * CHUNK, rel=0.1)  # the avatar, and nobody else

    motion = [json.loads(line) for line in (out / "motion.jsonl").read_text().splitlines()]
    assert len(motion) == 30
    assert motion[-1]["end_sample"] == 20 * CHUNK
    (face,) = motion[-1]["frames"]
    assert face["jawOpen"] == pytest.approx(17 / 255, abs=1e-4)
    assert motion[-1]["frames_per_second"] == 25

    printed = capsys.readouterr().out
    assert "llm_first_token                             250 ms" in printed
    assert TOKEN not in printed


async def test_the_next_question_cuts_into_the_answer(question: str, tmp_path: Path) -> None:
    async with stack(chunks=100) as (orchestrator, url):
        words = [question, question, "--interrupt-after", "600ms", "--url", url]
        heard = asyncio.create_task(run(*words, "--out", str(tmp_path)))
        while len(orchestrator.ended) < 1:
            await asyncio.sleep(0.01)
        ended = orchestrator.ended[0]
        assert ended.reason == 2  # interrupted
        assert 0.6 * RATE <= ended.played_samples < 3 * RATE
        assert await heard == 0
    turns = json.loads((tmp_path / "transcript.json").read_text())["turns"]
    assert [turn["end"] for turn in turns] == ["INTERRUPTED", "COMPLETED"]
    assert turns[0]["client"]["played_seconds"] * RATE == pytest.approx(ended.played_samples, abs=3)
    assert ANSWER.startswith(turns[0]["heard"])
    assert turns[0]["heard"] != ANSWER


async def test_text_is_typed(capsys: Any) -> None:
    async with stack(chunks=5) as (orchestrator, url):
        assert await run("--text", "Who are you?", "--text", "Why?", "--url", url) == 0
        assert [ended.turn for ended in orchestrator.ended] == [1, 2]
        quiet = np.frombuffer(bytes(orchestrator.microphone), "<i2")
        assert len(quiet) > 8_000  # the microphone was on all the time
        assert np.abs(quiet).max() < 10
    assert 'you     "Why?"' in capsys.readouterr().out


async def test_no_answer_is_status_1(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(
        talk.Conversation.__init__, "__defaults__", (None, 0.5)
    )  # wait half a second for an answer
    async with stack(mute=True) as (orchestrator, url):
        assert await run("--text", "Who are you?", "--url", url) == 1
        assert orchestrator.deleted == ["fake"]
    assert "no answer within 0.5 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.wav"], "missing.wav: No such file"),
        (["README.md"], "not a RIFF/WAVE file"),
        ([], "give a recording"),
        (["--text", " "], "--text is empty"),
        (["--text", "x", "--url", "nonsense"], "not an http:// address"),
        (["--text", "x", "--url", "http://127.0.0.1:1"], "is `make demo` running?"),
        (["--text", "x", "--out", "/dev/null/out"], "--out /dev/null/out"),
    ],
)
async def test_bad_input_is_status_2_and_says_what(
    words: list[str], message: str, capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("# not a recording")
    assert await run(*words) == 2
    assert message in capsys.readouterr().err


async def test_a_refused_session_says_why(capsys: Any) -> None:
    async with stack() as (_, url):
        assert await run("--text", "x", "--avatar", "nobody", "--url", url) == 2
    assert "UNKNOWN_AVATAR: no avatar nobody" in capsys.readouterr().err


async def test_a_wrong_token_is_a_join_error() -> None:
    async with stack() as (_, url), api.session(url) as session:
        with pytest.raises(JoinError, match="opens no session"):
            async with join(session.join_url, "another-token-0123456789"):
                pass
        with pytest.raises(JoinError, match="cannot connect"):
            async with join(url.replace("http", "ws"), TOKEN):
                pass


@pytest.mark.parametrize(("text", "seconds"), [("1.5s", 1.5), ("300ms", 0.3), ("2", 2.0)])
def test_durations(text: str, seconds: float) -> None:
    assert arguments("--text", "x", "--interrupt-after", text).interrupt_after == seconds


@pytest.mark.parametrize("text", ["", "-1s", "1.5m", "s", "1e3"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(SystemExit):
        arguments("--text", "x", f"--interrupt-after={text}")
