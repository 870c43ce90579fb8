"""One session's room: its users, their microphones and words, the avatar's voice and state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

import grpc
from livekit import rtc
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2, session_event_pb2
from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Media, Uplink
from stagewire_egress.livekit import captions, chat, packets
from stagewire_egress.livekit.audience import Audience
from stagewire_egress.livekit.engine_voice import EngineVoice
from stagewire_egress.livekit.floor import Floor, Policy
from stagewire_egress.livekit.joining import engine_publishes
from stagewire_egress.livekit.microphones import Microphones, is_microphone
from stagewire_egress.livekit.telling import PacketSender, Teller
from stagewire_egress.livekit.track import VoiceTrack
from stagewire_egress.livekit.voice import Voice
from stagewire_egress.settings import EgressSettings
from stagewire_egress.websocket import frames

logger = logging.getLogger(__name__)

INTERRUPT_METHOD = "stagewire.interrupt"
_FLUSH_SECONDS = 1.0
_STATES = {
    session_event_pb2.CONVERSATION_STATE_STARTING: "initializing",
    session_event_pb2.CONVERSATION_STATE_LISTENING: "listening",
    session_event_pb2.CONVERSATION_STATE_THINKING: "thinking",
    session_event_pb2.CONVERSATION_STATE_SPEAKING: "speaking",
}
"""`lk.agent.state`, as LiveKit's own clients know it."""
_FINAL = {
    rtc.DisconnectReason.DUPLICATE_IDENTITY: "another participant took this identity",
    rtc.DisconnectReason.PARTICIPANT_REMOVED: "the avatar was removed from the room",
    rtc.DisconnectReason.ROOM_DELETED: "the room was deleted",
}
_USERS = frozenset(
    {
        rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
        rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR,
    }
)


class Player(Protocol):
    """What plays the turns: a track of egress' own, or a motion engine."""

    async def put(self, message: Media) -> None:
        """Takes what the orchestrator sent; waits while too much is held."""

    def silence(self, turn: int) -> None:
        """Makes this turn and older ones inaudible now."""

    def audience(self, present: bool) -> None:
        """Whether somebody hears."""

    async def run(self) -> None:
        """Plays. Runs until cancelled."""


class RoomClient:
    """The delivery of a session whose client is in a LiveKit room.

    Args:
        opening: The session's opening message.
        room: The joined room.
        uplink: Who is told what users do.
        settings: The stage's settings.
        clock: Monotonic seconds.
    """

    features: Sequence[str] = ("livekit", "playback", "user_text")

    def __init__(
        self,
        opening: egress_pb2.Open,
        room: rtc.Room,
        uplink: Uplink,
        settings: EgressSettings,
        clock: Callable[[], float],
    ) -> None:
        """Nothing is published yet."""
        self.join_url = opening.livekit.url
        self._opening = opening
        self._room = room
        self._uplink = uplink
        self._rate = opening.voice_format.sample_rate_hertz
        participant = room.local_participant
        floor = Floor(Policy(settings.livekit_speaker))
        self._floor = floor
        self._teller = Teller()
        self._sender = PacketSender(participant)
        self._microphones = Microphones(
            opening.microphone_format.sample_rate_hertz, floor, uplink, clock
        )
        self._chat = chat.Chat(floor, uplink, self._refuse, clock)
        self._captions = captions.Captions(
            participant, self._teller, lambda: self._voice_sid, lambda: self._speaker
        )
        self._engine = ""
        self._track: VoiceTrack | None = None
        self._player = self._make_player(settings, clock)
        self._audience = Audience(uplink, self._player.audience)
        self._tasks: asyncio.TaskGroup

    def _make_player(self, settings: EgressSettings, clock: Callable[[], float]) -> Player:
        target, participant = self._opening.livekit, self._room.local_participant
        if engine_publishes(target):
            self._engine = target.publisher_identity
            voice = EngineVoice(self._engine, self._rate, self._captions, self._uplink, clock)
            voice.listen(participant)
            return voice
        self._track = VoiceTrack(participant, self._rate)
        return Voice(
            self._track.source,
            self._rate,
            self._sender,
            self._captions,
            self._uplink,
            settings.livekit_lips_seconds if self._opening.motion_codec else 0.0,
            settings.max_media_bytes,
            clock,
        )

    # The delivery.

    async def send(self, message: Media, end_sample: int) -> None:
        """Queues media; waits while too much is held."""
        await self._player.put(message)

    def event(self, event: session_event_pb2.SessionEvent) -> None:
        """Shows something to the room."""
        if event.WhichOneof("event") == "state_changed":
            state = _STATES.get(event.state_changed.state)
            if state is not None:
                self._attributes({"lk.agent.state": state}, key="state")
        self._captions.event(event)
        self._tell(frames.event_text(event))

    def silence(self, turn: int) -> None:
        """Makes this turn and older ones inaudible now."""
        self._player.silence(turn)

    def forget(self, turn: int, played: int) -> None:
        """What entered the room is forgotten by itself."""

    def going_away(self, grace_seconds: float) -> None:
        """Tells the room that this instance stops soon."""
        grace = round(grace_seconds * 1000)
        self._tell(frames.text("going_away", grace_milliseconds=grace))

    # Its life.

    async def publish(self) -> None:
        """Publishes the track, if the voice is ours; says that the microphone may open.

        Raises:
            StageError: BACKEND_FAILED when the server takes no track.
        """
        if self._track is not None:
            await self._track.publish()
        self._attributes({"lk.agent.state": "initializing", "ready": "1"}, key="ready")

    async def run(self) -> None:
        """Serves the room. Runs until cancelled; what breaks for good is told to the uplink."""
        async with asyncio.TaskGroup() as self._tasks:
            for work in (
                self._player.run(),
                self._audience.run(),
                self._teller.run(),
                self._sender.run(),
            ):
                self._start(work)
            self._listen()

    async def finish(self) -> None:
        """Lets what is still to be told reach the room."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._teller.idle()

    async def close(self) -> None:
        """Releases the track."""
        if self._track is not None:
            await self._track.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        guarded = self._guard(work)
        try:
            self._tasks.create_task(guarded)
        except RuntimeError:  # the room is being left
            guarded.close()
            work.close()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StageError as error:
            self._uplink.lost(error)
        except Exception:
            logger.exception("serving the room failed")
            problem = "serving the room failed; see the log of egress"
            self._uplink.lost(StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, problem))

    def _tell(self, text: str, to: str = "") -> None:
        async def tell() -> None:
            await self._room.local_participant.send_text(
                text,
                topic=packets.EVENTS_TOPIC,
                destination_identities=[to] if to else None,
            )

        self._teller.post(tell)

    def _attributes(self, attributes: dict[str, str], key: str) -> None:
        self._teller.post(lambda: self._room.local_participant.set_attributes(attributes), key=key)

    def _refuse(self, identity: str, error: StageError) -> None:
        self._tell(frames.error_text(error), to=identity)

    @property
    def _voice_sid(self) -> str:
        """The id of the track with the avatar's voice; empty while there is none."""
        if self._track is not None:
            return self._track.sid
        engine = self._room.remote_participants.get(self._engine)
        tracks = engine.track_publications.values() if engine is not None else ()
        return next((str(t.sid) for t in tracks if t.kind == rtc.TrackKind.KIND_AUDIO), "")

    @property
    def _speaker(self) -> tuple[str, str]:
        return self._microphones.speaker

    # What happens in the room. The library calls these on the event loop, in order.

    def _listen(self) -> None:
        room = self._room
        room.register_text_stream_handler(chat.TOPIC, self._typed)
        room.local_participant.register_rpc_method(INTERRUPT_METHOD, self._interrupted)
        room.on("participant_connected", self._came)
        room.on("participant_active", self._welcome)
        room.on("participant_disconnected", self._went)
        room.on("track_published", self._track_published)
        room.on("track_subscribed", self._track_subscribed)
        room.on("track_unsubscribed", self._track_unsubscribed)
        room.on("local_track_subscribed", lambda _track: self._audience.subscribed())
        room.on("reconnecting", self._reconnecting)
        room.on("reconnected", self._reconnected)
        room.on("disconnected", self._disconnected)
        for participant in room.remote_participants.values():
            self._came(participant)
            if participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE:
                self._welcome(participant)
            for publication in participant.track_publications.values():
                self._track_published(publication, participant)

    def _may_speak(self, identity: str) -> bool:
        """Whether somebody is a user: who types may do so before the server has told of them."""
        participant = self._room.remote_participants.get(identity)
        return participant is None or participant.kind in _USERS

    def _came(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind in _USERS:
            logger.info("a user is in the room")
            self._audience.came(participant.identity)

    def _welcome(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody can receive data from now on."""
        if participant.kind in _USERS:
            self._audience.active()
            turn = self._uplink.open_turn
            self._tell(frames.joined(self._opening, turn), to=participant.identity)

    def _went(self, participant: rtc.RemoteParticipant) -> None:
        self._floor.leave(participant.identity)
        self._audience.went(participant.identity)

    def _track_published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if participant.kind in _USERS and is_microphone(publication):
            publication.set_subscribed(True)

    def _track_subscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        self._start(self._microphones.read(participant.identity, publication.sid, track))

    def _track_unsubscribed(
        self,
        _track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        _participant: rtc.RemoteParticipant,
    ) -> None:
        self._start(self._microphones.stop(publication.sid))

    def _reconnecting(self) -> None:
        logger.warning("the connection to the room broke; reconnecting")
        self._audience.connection(False)

    def _reconnected(self) -> None:
        logger.info("reconnected to the room")
        self._captions.reconnected()
        # Who left meanwhile has left unseen.
        self._audience.keep(self._room.remote_participants)
        self._audience.connection(True)
        # Who was back before us was welcomed by nobody, and waits for it to go on.
        for participant in self._room.remote_participants.values():
            if participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE:
                self._welcome(participant)

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if reason == rtc.DisconnectReason.CLIENT_INITIATED:
            return  # we have left
        why = _FINAL.get(reason)
        if why is not None:
            code, message = grpc.StatusCode.FAILED_PRECONDITION, why
        else:
            code, message = grpc.StatusCode.UNAVAILABLE, "the connection to the room is lost"
        logger.warning("out of the room: %s", message)
        self._uplink.lost(StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, message, code=code))

    def _typed(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if self._may_speak(identity):
            self._start(self._chat.read(reader, identity))
        else:
            reader.close()

    async def _interrupted(self, call: rtc.RpcInvocationData) -> str:
        if self._may_speak(call.caller_identity) and self._floor.type(call.caller_identity):
            await self._uplink.user_interrupt()
        return ""
