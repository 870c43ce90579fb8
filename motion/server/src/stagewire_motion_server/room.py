"""A LiveKit room that a session speaks into: its voice as a track, and playback told to the agent.

What the real server is known to do: it joins with the token that it was given, publishes one audio
and one video track, and calls `lk.playback_started` and `lk.playback_finished` at the participant
that `livekit_agent_identity` names. Its video carries motion in a way that is not public; ours is
a black picture.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from livekit import rtc
from stagewire.spatius_wire.v2 import spatius_wire_pb2 as pb

from stagewire_motion_server import refusals
from stagewire_motion_server.faults import FaultBox
from stagewire_motion_server.refusals import Ending

logger = logging.getLogger(__name__)
logging.getLogger("livekit").setLevel(logging.CRITICAL)  # it quotes tokens

AGENT_ATTRIBUTE = "livekit_agent_identity"
JOIN_SECONDS = 3.0
"""The SDK gives the whole handshake 10 s, stagewire's bridge 5."""

_QUEUE_MILLISECONDS, _FRAME_SECONDS, _GRAIN_SECONDS = 60, 0.020, 0.010
_HELD_SECONDS = 1_200.0
_PICTURE, _PICTURE_SECONDS = 64, 1.0
_CALL_SECONDS, _LEAVE_SECONDS = 5.0, 2.0
_REMEMBERED = 1_024


class RoomError(Exception):
    """The room cannot be published into.

    Args:
        ending: What the client is told.
    """

    def __init__(self, ending: Ending) -> None:
        """Keeps the ending."""
        super().__init__(ending.error)
        self.ending = ending


@dataclass
class _Speech:
    """One req_id's voice; positions in samples."""

    req_id: str
    pcm: bytearray = field(default_factory=bytearray)
    taken: int = 0
    started: bool = False
    ended: bool = False

    @property
    def waiting(self) -> int:
        """Samples that were not handed to the track yet."""
        return len(self.pcm) // 2


class Room:
    """One session's room.

    Args:
        asked: What the client configured; checked.
        rate: Of the voice, in hertz.
        faults: What shall go wrong.
        lost: Called when the room is gone for good.
    """

    def __init__(
        self, asked: pb.LiveKitEgress, rate: int, faults: FaultBox, lost: Callable[[Ending], None]
    ) -> None:
        """Not in it yet."""
        self._connecting: asyncio.Task[None] | None = None
        self._delay = 0.0
        self._asked = asked
        self._rate = rate
        self._faults = faults
        self._lost = lost
        self._agent = asked.extra_attributes.get(AGENT_ATTRIBUTE, "")
        self._room = rtc.Room()
        self._source = rtc.AudioSource(rate, 1, queue_size_ms=_QUEUE_MILLISECONDS)
        self._speeches: deque[_Speech] = deque()
        self._over: deque[str] = deque(maxlen=_REMEMBERED)
        self._news = asyncio.Event()
        self._spoke = asyncio.Event()
        self._calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_REMEMBERED)

    # What the client says.

    def add(self, req_id: str, pcm: bytes, end: bool) -> None:
        """Takes 16-bit PCM of a req_id, which may be the end of it.

        Raises:
            ValueError: More waits than is held.
        """
        if not self._speeches or self._speeches[-1].req_id != req_id:
            self._speeches.append(_Speech(req_id))
        if sum(s.waiting for s in self._speeches) > _HELD_SECONDS * self._rate:
            self.interrupt(req_id)
            raise ValueError(f"more than {_HELD_SECONDS:g} seconds of audio wait to be spoken")
        self._speeches[-1].pcm += pcm
        self._speeches[-1].ended = end
        self._news.set()

    def interrupt(self, req_id: str) -> None:
        """Silences a req_id at once, and tells the agent how far it was spoken."""
        if req_id in self._over:
            return
        speech = next((s for s in self._speeches if s.req_id == req_id), None)
        position = 0
        if speech is not None:
            if self._speaks(speech):
                queued = math.ceil(self._source.queued_duration * self._rate)
                position = max(0, speech.taken - queued)
                self._source.clear_queue()
            self._speeches.remove(speech)
        self._finished(req_id, position, interrupted=True)
        self._news.set()

    # Its life.

    async def enter(self) -> Ending | None:
        """Joins and publishes, unless a fault puts it off; what is told when that fails."""
        self._delay = self._faults.current.join_delay
        if self._delay:
            self._faults.strike()
            return None
        try:
            await self._join()
        except RoomError as error:
            return error.ending
        return None

    async def _join(self) -> None:
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=JOIN_SECONDS)
        url, token = self._asked.url, self._asked.api_token
        # A bare task: a cancelled connect would go on in the library; `leave` undoes it.
        self._connecting = asyncio.create_task(self._room.connect(url, token, options))
        done, _ = await asyncio.wait([self._connecting], timeout=JOIN_SECONDS)
        if not done:
            raise RoomError(refusals.NO_ROOM)
        try:
            self._connecting.result()
        except rtc.ConnectError as error:
            refused = "401" in error.message or "403" in error.message
            raise RoomError(refusals.WRONG_ROOM_TOKEN if refused else refusals.NO_ROOM) from None
        me = self._room.local_participant
        right = self._room.name == self._asked.room_name
        if not right or (self._asked.publisher_id or me.identity) != me.identity:
            raise RoomError(refusals.FOREIGN_ROOM_TOKEN)
        self._room.on("disconnected", self._disconnected)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._publish(me)
        except (TimeoutError, rtc.participant.PublishTrackError):
            raise RoomError(refusals.MUTE_ROOM_TOKEN) from None
        logger.info("in the room as %s", me.identity)

    async def _publish(self, me: rtc.LocalParticipant) -> None:
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        camera = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
        self._picture = rtc.VideoSource(_PICTURE, _PICTURE)
        voice = rtc.LocalAudioTrack.create_audio_track("avatar_audio", self._source)
        video = rtc.LocalVideoTrack.create_video_track("avatar_video", self._picture)
        await me.publish_track(voice, microphone)
        await me.publish_track(video, camera)

    async def run(self) -> None:
        """Speaks, in real time. Runs until cancelled."""
        if self._delay:
            await asyncio.sleep(self._delay)
            try:
                await self._join()
            except RoomError as error:
                self._lost(error.ending)
                return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show())
            tasks.create_task(self._tell())
            tasks.create_task(self._watch())
            while True:
                self._news.clear()
                if not self._speeches or not await self._speak(self._speeches[0]):
                    await self._news.wait()

    async def leave(self) -> None:
        """Leaves; does not wait long for a server that is away."""
        # A bare task: a join that comes late is undone when it comes, and nobody waits for that.
        undoing = asyncio.create_task(self._undo())
        await asyncio.wait([undoing], timeout=_LEAVE_SECONDS)

    async def _undo(self) -> None:
        with suppress(Exception):  # the library raises bare Exceptions; the room is left either way
            if self._connecting is not None:
                await self._connecting
            await self._room.disconnect()
        await self._source.aclose()

    async def _speak(self, speech: _Speech) -> bool:
        """Hands the next frame to the track; False when there is nothing to do for now."""
        grain = round(_GRAIN_SECONDS * self._rate)
        count = min(speech.waiting, round(_FRAME_SECONDS * self._rate))
        count -= 0 if speech.ended else count % grain
        if count == 0:
            if speech.ended:
                await self._drain(speech)
            return speech.ended
        if not speech.started:
            speech.started = True
            self._report("lk.playback_started", "")
        data = bytes(speech.pcm[: 2 * count]) + bytes(2 * (-count % grain))
        del speech.pcm[: 2 * count]
        speech.taken += count
        frame = rtc.AudioFrame(data, self._rate, 1, len(data) // 2)
        await self._source.capture_frame(frame)
        if not self._speaks(speech):
            self._source.clear_queue()  # interrupted while the frame was on its way
        return True

    def _speaks(self, speech: _Speech) -> bool:
        return bool(self._speeches) and self._speeches[0] is speech

    async def _drain(self, speech: _Speech) -> None:
        """Waits until all of it has sounded."""
        while (left := self._source.queued_duration) and self._speaks(speech):
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
        if self._speaks(speech):
            self._speeches.popleft()
            self._finished(speech.req_id, speech.taken, interrupted=False)

    async def _watch(self) -> None:
        """Gives up when nothing is to be said for as long as the client wants to wait."""
        seconds = self._asked.idle_timeout
        while seconds:
            try:
                async with asyncio.timeout(seconds):
                    await self._spoke.wait()
            except TimeoutError:
                if not self._speeches:
                    self._lost(refusals.silence(seconds))
                    return
            self._spoke.clear()

    async def _show(self) -> None:
        """A black picture, now and then."""
        black = rtc.VideoFrame(
            _PICTURE, _PICTURE, rtc.VideoBufferType.RGBA, bytes((0, 0, 0, 255)) * _PICTURE**2
        )
        while True:
            self._picture.capture_frame(black)
            await asyncio.sleep(_PICTURE_SECONDS)

    # Telling.

    def _finished(self, req_id: str, samples: int, interrupted: bool) -> None:
        self._over.append(req_id)
        self._spoke.set()
        seconds: float = samples / self._rate
        how = self._faults.current.playback
        if how is not None:
            self._faults.strike()
        if how == "beyond":
            seconds += 3600
        report = json.dumps({"playback_position": seconds, "interrupted": interrupted})
        if how != "silent":
            self._report("lk.playback_finished", "all of it" if how == "malformed" else report)

    def _report(self, method: str, payload: str) -> None:
        if not self._agent:
            return  # the client named nobody to be told
        if self._calls.full():
            logger.warning("the agent takes no calls; %s is lost", method)
        else:
            self._calls.put_nowait((method, payload))

    async def _tell(self) -> None:
        while True:
            method, payload = await self._calls.get()
            try:
                await self._room.local_participant.perform_rpc(
                    destination_identity=self._agent,
                    method=method,
                    payload=payload,
                    response_timeout=_CALL_SECONDS,
                )
            except rtc.RpcError as error:
                logger.warning("the agent did not take %s: %d %s", method, error.code, error)
            except Exception as error:  # bare ones come from a room that is being lost
                logger.warning("%s was not told: %s", method, type(error).__name__)

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if reason != rtc.DisconnectReason.CLIENT_INITIATED:
            self._lost(refusals.ROOM_LOST)
