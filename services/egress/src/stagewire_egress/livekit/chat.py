"""What users type: text streams on `lk.chat`, one message each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from livekit import rtc
from stagekit.allowance import Allowance
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2

from stagewire_egress.delivery import Uplink
from stagewire_egress.livekit.floor import Floor
from stagewire_egress.websocket.frames import MAX_TEXT_CHARACTERS

logger = logging.getLogger(__name__)

TOPIC = "lk.chat"
MAX_STREAM_BYTES = 4 * MAX_TEXT_CHARACTERS
"""A text stream that grows beyond it is broken off by the library: UTF-8 has at most 4 bytes."""
_READ_SECONDS = 10.0
_MESSAGE_RATE, _MESSAGE_BURST = 2.0, 10.0
_MAX_OPEN = 8


class Chat:
    """Takes typed text, as much of it as a person types.

    Args:
        floor: Who may type.
        uplink: Takes the text.
        refuse: Tells a user why their text was not taken.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        floor: Floor,
        uplink: Uplink,
        refuse: Callable[[str, StageError], None],
        clock: Callable[[], float],
    ) -> None:
        """Nothing was typed."""
        self._floor = floor
        self._uplink = uplink
        self._refuse = refuse
        self._clock = clock
        self._messages = Allowance(_MESSAGE_RATE, _MESSAGE_BURST, clock())
        self._refusals = Allowance(_MESSAGE_RATE, _MESSAGE_BURST, clock())
        self._open = 0

    async def read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        """Takes one message."""
        try:
            self._check_flood()
            self._open += 1
            try:
                text = await self._text(reader)
            finally:
                self._open -= 1
            if not self._floor.type(identity):
                raise _refusal("somebody else has the conversation until they leave")
            await self._uplink.user_text(text)
        except StageError as error:
            if self._refusals.take(1.0, self._clock()):
                logger.info("a typed text was refused: %s", error.message)
                self._refuse(identity, error)
                await self._uplink.fault(error)
        finally:
            reader.close()

    def _check_flood(self) -> None:
        if self._open >= _MAX_OPEN or not self._messages.take(1.0, self._clock()):
            raise StageError(
                error_pb2.ERROR_REASON_PEER_TOO_SLOW,
                f"typed texts come faster than {_MESSAGE_RATE:g} per second",
            )

    async def _text(self, reader: rtc.TextStreamReader) -> str:
        parts: list[str] = []
        try:
            async with asyncio.timeout(_READ_SECONDS):
                async for part in reader:
                    parts.append(part)
                    if sum(map(len, parts)) > MAX_TEXT_CHARACTERS:
                        raise _too_long()
        except TimeoutError:
            raise _refusal(f"a typed text was not complete within {_READ_SECONDS:g} s") from None
        except rtc.StreamError:
            raise _too_long() from None
        text = "".join(parts)
        if not text.strip():
            raise _refusal("a typed text is blank")
        return text


def _too_long() -> StageError:
    return _refusal(f"a typed text is broken, or longer than {MAX_TEXT_CHARACTERS} characters")


def _refusal(message: str) -> StageError:
    return StageError(error_pb2.ERROR_REASON_INVALID_FIELD, message)
