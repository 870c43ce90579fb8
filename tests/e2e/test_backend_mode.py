"""A Backend Mode demo client against the whole stack: six processes, the real models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from demo_clients import VariantA
from stagewire_cli import wav
from stagewire_cli.microphone import HERTZ
from support.stack import SPEECH, Stack
from websockets.asyncio.client import connect

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="session")]

_CHUNK_SAMPLES = 4_096  # what the web client sends at a time, 256 ms


@asynccontextmanager
async def demo_client(stack: Stack) -> AsyncIterator[VariantA]:
    async with connect(f"ws://127.0.0.1:{stack.ports.egress_websocket}/ws/agent") as ws:
        client = VariantA(ws)
        client.character = ""  # no avatar of Spatius' is loaded
        await client.wait("ready", seconds=20)
        yield client


async def test_a_demo_client_types_and_hears_the_answer(stack: Stack) -> None:
    async with demo_client(stack) as client:
        told = await client.wait("status", seconds=5)
        assert "stagewire.arkit52" in told["message"]
        await client.send(type="text_query", text="Who are you?")
        await client.wait("avatar_audio", seconds=30, isLast=True)
        said = await client.wait("agent_event", event="llm_text")
        assert "ava" in said["text"].lower()
        voice = np.frombuffer(client.controller.audio, "<i2")
        assert len(voice) > 16_000
        assert np.abs(voice).max() > 1_000
        session_id = (await client.wait("ready"))["sessionId"]
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as http, asyncio.timeout(10):
        path = f"/v1/sessions/{session_id}"
        while (await http.get(path)).json()["session"]["state"] != "SESSION_STATE_ENDED":
            await asyncio.sleep(0.1)


async def test_a_demo_client_speaks_and_lets_go_of_the_button(stack: Stack) -> None:
    async with demo_client(stack) as client:
        pcm = (wav.read(SPEECH / "go-forward.wav", HERTZ) * 32_767).astype("<i2").tobytes()
        for begin in range(0, len(pcm), 2 * _CHUNK_SAMPLES):
            await client.speak(pcm[begin : begin + 2 * _CHUNK_SAMPLES])
            await asyncio.sleep(_CHUNK_SAMPLES / HERTZ)
        await client.send(type="mic_end")
        heard = await client.wait("agent_event", seconds=20, event="asr_final")
        assert "forward" in heard["text"].lower()
        await client.wait("avatar_audio", seconds=30, isLast=True)
        await client.send(type="interrupt")
        told = await client.wait("interrupt", seconds=5)
        assert told["reason"] == "client_interrupt"
