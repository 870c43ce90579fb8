"""The ``spatius`` backend: Spatius' Motion Server, through its unmodified Server SDK."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import time
from collections.abc import Callable

import spatius
from stagekit.errors import StageError
from stagekit.settings import load
from stagewire.common.v1 import error_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2
from stagewire_motion_codec import spatius as codec

from stagewire_motion_bridge.backend import Emit
from stagewire_motion_bridge.backends.spatius.connection import MotionSession
from stagewire_motion_bridge.backends.spatius.face import SpatiusFace
from stagewire_motion_bridge.backends.spatius.keeper import Keeper
from stagewire_motion_bridge.backends.spatius.pool import Kind, Pool
from stagewire_motion_bridge.backends.spatius.reconnect import Reconnect
from stagewire_motion_bridge.backends.spatius.settings import SpatiusSettings
from stagewire_motion_bridge.backends.spatius.voice import engine_rate

_FORMATS = {"pcm": spatius.AudioFormat.PCM_S16LE, "opus": spatius.AudioFormat.OGG_OPUS}


class SpatiusBackend:
    """Makes faces.

    Args:
        settings: The backend's.
        new_random: Makes the source of a session's jitter.
    """

    name = "spatius"
    models = ()
    codecs = (codec.NAME,)
    features = ("livekit_room",)

    def __init__(
        self,
        settings: SpatiusSettings,
        new_random: Callable[[], random.Random] = random.Random,
    ) -> None:
        """Nothing is connected before the first session."""
        self._settings, self._new_random = settings, new_random
        # Before any session: the SDK sends its own telemetry home unless told not to.
        spatius.configure_telemetry(None if settings.telemetry else "")
        self._pool = Pool(
            settings.pool_size,
            settings.pool_seconds,
            lambda kind: self._session(kind, 0),
            time.monotonic,
        )

    async def run(self) -> None:
        """Warms names, routes and TLS for the first session; keeps sessions ready if wanted."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prewarm())
            tasks.create_task(self._pool.run())

    async def connect(self, opening: motion_bridge_pb2.Open, codec: str, emit: Emit) -> SpatiusFace:
        """See :class:`stagewire_motion_bridge.backend.Backend`.

        A first connection that fails for a passing reason does not fail the conversation: it
        begins without lips, and says so.
        """
        avatar_id = opening.avatar_id or self._settings.avatar_id
        if not avatar_id:
            raise StageError(
                error_pb2.ERROR_REASON_UNKNOWN_AVATAR,
                "no avatar for Motion Server: set SPATIUS_AVATAR_ID, or motion_avatar_id in the "
                "avatar's profile",
            )
        hertz = opening.format.sample_rate_hertz
        kind = Kind(avatar_id, engine_rate(hertz, self._settings.audio))
        delivery = opening.WhichOneof("delivery")
        room = _room(opening.livekit_room) if delivery == "livekit_room" else None
        clock = asyncio.get_running_loop().time

        async def connect(region: int) -> MotionSession:
            ready = None if room else self._pool.take(kind)
            return ready or await self._session(kind, region, room)

        regions = len(self._settings.region_list())
        policy = Reconnect(
            regions, self._settings.attempts, self._settings.full_seconds, self._new_random()
        )
        keeper = Keeper(connect, policy, self._settings, clock)
        in_room = room is not None
        face = SpatiusFace(hertz, kind.engine_hertz, in_room, keeper, self._settings, emit, clock)
        await keeper.first()
        return face

    async def _session(
        self, kind: Kind, region: int, room: spatius.LiveKitEgressConfig | None = None
    ) -> MotionSession:
        """A session that stands.

        Raises:
            Exception: What the SDK raises.
        """
        told = self._settings
        opus = told.audio == "opus"
        valid = datetime.timedelta(seconds=told.token_seconds)
        session = MotionSession(
            spatius.SessionConfig(
                avatar_id=kind.avatar_id,
                api_key=told.api_key.get_secret_value(),
                app_id=told.app_id,
                use_query_auth=told.query_auth,
                expire_at=datetime.datetime.now(datetime.UTC) + valid,
                sample_rate=kind.engine_hertz,
                bitrate=told.bitrate if opus else 0,
                audio_format=_FORMATS[told.audio],
                ogg_opus_encoder=spatius.OggOpusEncoderConfig() if opus else None,
                region=told.region_list()[region],
                console_endpoint_url=told.console_endpoint,
                ingress_endpoint_url=told.ingress_endpoint,
                livekit_egress=room,
                extra_params=dict(told.extra_params),
            )
        )
        await session.connect(told.connect_seconds)
        return session

    async def _prewarm(self) -> None:
        told = self._settings
        await spatius.prewarm(
            app_id=told.app_id,
            region=told.region_list()[0],
            console_endpoint_url=told.console_endpoint,
            ingress_endpoint_url=told.ingress_endpoint,
            warm_tls=not told.ingress_endpoint.startswith(("ws:", "http:")),
            timeout=told.connect_seconds,
        )


def _room(room: motion_bridge_pb2.LiveKitRoom) -> spatius.LiveKitEgressConfig:
    return spatius.LiveKitEgressConfig(
        url=room.url,
        api_token=room.token,
        room_name=room.room,
        publisher_id=room.identity,
        extra_attributes=dict(room.attributes),
        idle_timeout=room.idle_timeout.seconds,
    )


def create() -> SpatiusBackend:
    """The entry point.

    Raises:
        SystemExit: A setting is missing or wrong, or Opus is wanted and its library is not there.
    """
    settings = load(SpatiusSettings)
    # At its lowest level it logs the handshake, token included.
    logging.getLogger("websockets.client").setLevel(logging.INFO)
    if settings.audio == "opus":
        try:
            import opuslib_next  # noqa: F401  # an extra: needed only with this setting
        except Exception as error:
            raise SystemExit(
                f"STAGEWIRE_MOTION_BRIDGE_SPATIUS_AUDIO=opus: {error}. Install what it needs: "
                "pip install 'stagewire-motion-bridge[opus]'"
            ) from error
    return SpatiusBackend(settings)
