"""A user in a LiveKit room, as the real client library sees it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc
from stagewire_egress.livekit import packets

VOICE_HERTZ = 24_000


@dataclass
class Packet:
    """A data packet about the face, parsed."""

    kind: int
    part: int
    parts: int
    turn: int
    sample: int
    count: int
    epoch: int
    payload: bytes
    at: float


@dataclass
class Text:
    """A text stream, as far as it has come."""

    identity: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def text(self) -> str:
        return "".join(self.parts)


class User:
    """Joins, hears the avatar's track, keeps every packet and text; speaks and types.

    Args:
        url: The server.
        token: For it.
        avatar: The avatar's identity.
        voice: Whose track its voice is on; empty: the avatar's own.
    """

    def __init__(self, url: str, token: str, avatar: str = "avatar", voice: str = "") -> None:
        self.room = rtc.Room()
        self._avatar = avatar
        self._voice = voice or avatar
        self.packets: list[Packet] = []
        self.captions: list[Text] = []
        self.events: list[dict[str, Any]] = []
        self.voice: list[tuple[float, np.ndarray]] = []  # (perf_counter at the frame's end, PCM)
        self.voice_tracks = 0
        self.track: rtc.RemoteAudioTrack | None = None
        self._url, self._token = url, token
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: list[rtc.AudioStream] = []

    async def join(self) -> None:
        self.room.on("data_received", self._data)
        self.room.on("track_subscribed", self._subscribed)
        self.room.register_text_stream_handler("lk.transcription", self._caption)
        self.room.register_text_stream_handler(packets.EVENTS_TOPIC, self._event)
        await self.room.connect(self._url, self._token)

    async def leave(self) -> None:
        for stream in self._streams:
            await stream.aclose()
        for task in self._tasks:
            task.cancel()
        await self.room.disconnect()

    @property
    def avatar(self) -> rtc.RemoteParticipant | None:
        return self.room.remote_participants.get(self._avatar)

    async def until(self, true: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Waits until something holds, and returns it."""
        async with asyncio.timeout(seconds):
            while not (found := true()):
                await asyncio.sleep(0.01)
        return found

    async def until_attribute(self, name: str, value: str, seconds: float = 10.0) -> None:
        await self.until(lambda: (a := self.avatar) and a.attributes.get(name) == value, seconds)

    @asynccontextmanager
    async def microphone(self, rate: int = 48_000, channels: int = 1) -> AsyncIterator[Microphone]:
        """A published microphone."""
        microphone = Microphone(rate, channels)
        publication = await self.room.local_participant.publish_track(
            microphone.track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        await publication.wait_for_subscription()
        try:
            yield microphone
        finally:
            if self.room.isconnected():
                await self.room.local_participant.unpublish_track(publication.sid)
            await microphone.source.aclose()

    async def type(self, text: str) -> None:
        await self.room.local_participant.send_text(text, topic="lk.chat")

    def heard(self, since: float = 0.0) -> np.ndarray:
        """The avatar's voice received since then, as float samples at 24 kHz."""
        parts = [pcm for at, pcm in self.voice if at >= since]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def motion(self, turn: int) -> list[Packet]:
        return [p for p in self.packets if p.kind == packets.Kind.MOTION and p.turn == turn]

    def of(self, kind: packets.Kind, turn: int) -> list[Packet]:
        return [p for p in self.packets if p.kind == kind and p.turn == turn]

    def _task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == packets.TOPIC:
            kind, _, part, parts, turn, sample, count, epoch = packets.HEADER.unpack_from(
                packet.data
            )
            payload = packet.data[packets.HEADER.size :]
            now = time.perf_counter()
            self.packets.append(Packet(kind, part, parts, turn, sample, count, epoch, payload, now))

    def _subscribed(self, track: rtc.Track, _pub: Any, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._voice and isinstance(track, rtc.RemoteAudioTrack):
            self.track = track
            self.voice_tracks += 1
            stream = rtc.AudioStream(track, sample_rate=VOICE_HERTZ, frame_size_ms=10)
            self._streams.append(stream)
            self._task(self._hear(stream))

    async def _hear(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            now = time.perf_counter()
            pcm = np.frombuffer(event.frame.data, np.int16).astype(np.float32) / 32768
            self.voice.append((now, pcm))

    def _caption(self, reader: rtc.TextStreamReader, identity: str) -> None:
        text = Text(identity, dict(reader.info.attributes or {}))
        self.captions.append(text)
        self._task(self._read(reader, text))

    async def _read(self, reader: rtc.TextStreamReader, text: Text) -> None:
        async for part in reader:
            text.parts.append(part)
        text.attributes.update(reader.info.attributes or {})
        text.closed = True

    def _event(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        self._task(self._read_event(reader))

    async def _read_event(self, reader: rtc.TextStreamReader) -> None:
        self.events.append(json.loads(await reader.read_all()))


class Microphone:
    """A user's microphone."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self.source = rtc.AudioSource(rate, channels, queue_size_ms=200)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self.source)

    async def tone(self, hertz: float, seconds: float, level: float = 0.3) -> None:
        """Speaks a tone, in real time."""
        count = round(seconds * self._rate)
        wave = level * np.sin(2 * np.pi * hertz * np.arange(count) / self._rate)
        await self.speak(wave.astype(np.float32))

    async def silence(self, seconds: float) -> None:
        await self.speak(np.zeros(round(seconds * self._rate), np.float32))

    async def speak(self, samples: np.ndarray) -> None:
        """Speaks mono samples in -1..1, in real time."""
        pcm = np.repeat((samples * 32767).astype(np.int16), self._channels)
        step = self._rate // 50 * self._channels
        for at in range(0, len(pcm) - step + 1, step):
            frame = pcm[at : at + step].tobytes()
            await self.source.capture_frame(
                rtc.AudioFrame(frame, self._rate, self._channels, step // self._channels)
            )
        await self.source.wait_for_playout()


def dominant(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """The strongest frequency of float samples in hertz, and their level (RMS)."""
    if not len(samples):
        return 0.0, 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    peak = float(np.argmax(spectrum)) * rate / len(samples)
    return peak, float(np.sqrt(np.mean(samples**2)))
