"""Clients of `/ws/agent` that say exactly what Spatius' demo clients say, and nothing else.

Variant A follows spatius-avatar-demo, backend-mode/clients/web/react/src/components/ControlPanel;
variant B follows spatius-integration-demo, backend-mode/clients/web/react/src/utils/backendClient.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


class Controller:
    """Fake of AvatarKit's controller: keeps what it was fed, and hands out conversation ids."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.fed: list[tuple[str, Any]] = []
        self._number = 0

    def yield_audio(self, pcm: bytes, last: bool) -> str:
        if not self.fed or self.fed[-1] == ("last", f"c{self._number}"):
            self._number += 1
        self.audio += pcm
        self.fed.append(("last" if last else "audio", f"c{self._number}"))
        return f"c{self._number}"

    def yield_frames(self, payloads: list[bytes], conversation: str) -> None:
        self.fed.append(("frames", (conversation, payloads)))

    def interrupt(self) -> None:
        self.fed.append(("interrupt", None))


class DemoClient:
    """What both variants have in common."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.controller = Controller()
        self.seen: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.ws:
                data = json.loads(message)
                async with self._arrived:
                    self.seen.append(data)
                    await self.on_message(data)
                    self._arrived.notify_all()
        except ConnectionClosed:
            pass

    async def on_message(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def send(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    def all(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        return [m for m in self.seen if m["type"] == type_ and fields.items() <= m.items()]

    async def wait(
        self, type_: str, count: int = 1, seconds: float = 5.0, **fields: Any
    ) -> dict[str, Any]:
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.all(type_, **fields)) >= count)
        return self.all(type_, **fields)[count - 1]

    async def speak(self, pcm: bytes) -> None:
        await self.send(type="mic_audio", audio=base64.b64encode(pcm).decode())

    async def gone(self) -> None:
        async with asyncio.timeout(5):
            await self._reading


class VariantA(DemoClient):
    """Keeps a conversation id for each turnId; a turn that it does not know is dropped."""

    character = "aed008e4-8ddf-41aa-b5b2-5d7321dd4165"

    def __init__(self, ws: ClientConnection) -> None:
        super().__init__(ws)
        self.turns: dict[Any, str] = {}
        self.dropped = 0

    async def on_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ready":
                await self.send(type="set_avatar", avatarId=self.character)
            case "avatar_audio":
                pcm = base64.b64decode(message["audio"] or "")
                conversation = self.controller.yield_audio(pcm, message.get("isLast", False))
                self.turns.setdefault(message["turnId"], conversation)
            case "avatar_frames":
                payloads = [base64.b64decode(frame) for frame in message["frames"]]
                conversation = self.turns.get(message["turnId"], "")
                if conversation and payloads:
                    self.controller.yield_frames(payloads, conversation)
                elif payloads:
                    self.dropped += 1
                if message["isLast"]:
                    self.turns.pop(message["turnId"], None)
            case "interrupt":
                self.controller.interrupt()
                self.turns.clear()


class VariantB(DemoClient):
    """Keeps one conversation id; knows no turnId."""

    def __init__(self, ws: ClientConnection) -> None:
        super().__init__(ws)
        self.conversation = ""

    async def on_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "avatar_audio":
                pcm = base64.b64decode(message["audio"])
                last = message.get("isLast", False)
                self.conversation = self.controller.yield_audio(pcm, last) or self.conversation
            case "avatar_frames":
                payloads = [base64.b64decode(frame) for frame in message["frames"]]
                if self.conversation and payloads:
                    self.controller.yield_frames(payloads, self.conversation)
                if message["isLast"]:
                    self.conversation = ""
            case "interrupt":
                self.controller.interrupt()
                self.conversation = ""
