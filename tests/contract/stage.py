"""What the suite knows about a stage's contract, and where the implementation under test is."""

from __future__ import annotations

import array
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from contract.wire import Call
from google.protobuf.message import Message
from stagewire.common.v1 import audio_pb2
from support.processes import Service

RATE = 16_000

# What a process that the suite starts is given: few, so that filling it is cheap.
MAX_SESSIONS = 2

# Said to every stage that takes text; must never be in an error or a log.
USER_TEXT = "the violet heron hums at noon"


def pcm_format(rate: int = RATE, encoding: int = audio_pb2.AUDIO_ENCODING_PCM_S16LE) -> Any:
    """An AudioFormat, also a wrong one."""
    return audio_pb2.AudioFormat(encoding=encoding, sample_rate_hertz=rate)


def silence(samples: int) -> bytes:
    """Silent PCM."""
    return bytes(2 * samples)


def hum(samples: int, start: int = 0) -> bytes:
    """A 200 Hz hum whose loudness beats four times a second: sound, though not speech."""
    wave = (
        int(9_000 * math.sin(math.tau * 200 * n / RATE) * abs(math.sin(math.tau * 2 * n / RATE)))
        for n in range(start, start + samples)
    )
    return array.array("h", wave).tobytes()


def long_hums(count: int = 400) -> Iterator[tuple[bytes, int]]:
    """Voice in the largest messages that every stage should take, with their first samples."""
    piece = hum(RATE) * 16
    return ((piece, n * len(piece) // 2) for n in range(count))


@dataclass(frozen=True)
class Refusal:
    """Messages that a stage must refuse.

    Attributes:
        name: For the test's id.
        messages: What is sent, raw bytes included.
        reason: The expected reason; its code follows from it.
        may_accept: The contract lets a stage take it instead.
    """

    name: str
    messages: Sequence[Message | bytes]
    reason: str
    may_accept: bool = False


@dataclass(frozen=True)
class Target:
    """The implementation under test.

    Attributes:
        address: host:port.
        process: None when it runs elsewhere.
    """

    address: str
    process: Service | None


class Stage:
    """One stage's contract, as far as the shared cases need it.

    Attributes:
        name: Such as ``asr``.
        service: The gRPC service's full name.
        method: Its bidirectional method.
        request: Its request type, with the oneof ``message``.
        response: Its response type.
        session_long: One stream per session; otherwise one per turn.
        formats: Fields of ``open`` that hold a format the stage must check.
        settings: Variables for the process that the suite starts.
        growth_megabytes: How much a flood may add to the process.
    """

    name: ClassVar[str]
    service: ClassVar[str]
    method: ClassVar[str]
    request: ClassVar[Any]
    response: ClassVar[Any]
    session_long: ClassVar[bool] = True
    formats: ClassVar[Sequence[str]] = ()
    settings: ClassVar[dict[str, str]] = {}
    growth_megabytes: ClassVar[float] = 40.0
    _sessions = itertools.count(1)

    @property
    def package(self) -> str:
        """The contract package, such as ``stagewire.asr.v1``."""
        return self.service.rpartition(".")[0]

    @property
    def path(self) -> str:
        """The method's path on the wire."""
        return f"/{self.service}/{self.method}"

    def open(self, **changes: Any) -> Any:
        """A valid ``open`` for a new session, with some fields set otherwise."""
        raise NotImplementedError

    def new_session(self) -> str:
        """A session id that was not used before."""
        return f"conformance-{self.name}-{next(self._sessions)}"

    def before_audio(self) -> list[Any]:
        """What must come between ``open`` and the first audio."""
        return []

    def audio(self, data: bytes, start: int = 0, turn: int = 1) -> Any:
        """An audio message; None for a stage that takes no audio."""
        return None

    def refusals(self) -> list[Refusal]:
        """What only this stage must refuse."""
        return []

    async def short_session(self, call: Call) -> None:
        """The shortest good session, from open to its end, checked."""
        raise NotImplementedError

    async def occupy(self, call: Call) -> None:
        """Opens, and leaves the call so that it keeps its place until it is cancelled."""
        await call.send(self.open())
        ready = await call.receive()
        assert ready.WhichOneof("message") == "ready"

    def much(self) -> Iterator[Any]:
        """After ``open``: hundreds of megabytes, where the contract lets them in."""
        raise NotImplementedError


class TurnStage(Stage):
    """A stage with one stream per session in which turns follow each other."""

    def turn_start(self, turn: int) -> Any:
        """Begins a turn."""
        raise NotImplementedError

    def end(self, turn: int) -> Any:
        """No more media in this turn."""
        raise NotImplementedError

    def interrupt(self, turn: int) -> Any:
        """Cuts a turn short."""
        raise NotImplementedError

    def before_audio(self) -> list[Any]:
        return [self.turn_start(1)]

    def much(self) -> Iterator[Any]:
        yield self.turn_start(1)
        yield from (self.audio(piece, start) for piece, start in long_hums())

    def turn_refusals(self) -> list[Refusal]:
        """The rules about turn numbers, which all such stages share."""
        start = self.turn_start
        voice = self.audio(hum(640))
        return [
            Refusal("turn_zero", [self.open(), start(0)], "INVALID_FIELD"),
            Refusal("turn_again", [self.open(), start(3), start(3)], "INVALID_FIELD"),
            Refusal("turn_backwards", [self.open(), start(3), start(2)], "INVALID_FIELD"),
            Refusal("audio_without_turn", [self.open(), voice], "INVALID_FIELD"),
            Refusal(
                "audio_of_later_turn",
                [self.open(), start(1), self.audio(hum(640), turn=2)],
                "INVALID_FIELD",
            ),
            Refusal("end_of_later_turn", [self.open(), start(1), self.end(2)], "INVALID_FIELD"),
            Refusal(
                "audio_of_turn_zero",
                [self.open(), start(1), self.audio(hum(640), turn=0)],
                "INVALID_FIELD",
            ),
        ]
