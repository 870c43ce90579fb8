"""The asr stage: hears the whole session."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from stagekit.errors import StageError
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1.audio_pb2 import Audio, AudioFormat
from stagewire.common.v1.trace_pb2 import TraceContext

from stagewire_orchestrator import events as e
from stagewire_orchestrator.latency import Reported
from stagewire_orchestrator.stages.context import Context
from stagewire_orchestrator.stages.link import Link

logger = logging.getLogger(__name__)

_MICROPHONE_MESSAGES_KEPT = 200  # about 10 s, for an asr that restarts
_MICROPHONE_MESSAGES_REMEMBERED = 500  # when they came; 10 s of messages of 20 ms


class Asr:
    """The stream to asr.

    Args:
        context: The session.
        microphone: The microphone's format.
    """

    def __init__(self, context: Context, microphone: AudioFormat) -> None:
        """Connects when ``link`` runs."""
        self._context = context
        self._microphone = microphone
        # When which microphone sample (the last of a message) reached us, oldest first.
        self._heard: deque[tuple[int, float]] = deque(maxlen=_MICROPHONE_MESSAGES_REMEMBERED)
        stub = asr_pb2_grpc.AsrServiceStub(context.channels.to(context.avatar, "asr"))
        self.link: Link[asr_pb2.TranscribeRequest] = Link(
            "asr",
            stub.Transcribe,
            self._opening,
            lambda: context.spans.call("asr", "open"),
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_back=self._on_back,
            keep=_MICROPHONE_MESSAGES_KEPT,
        )

    async def hear(self, audio: Audio) -> None:
        """Passes the microphone on."""
        now = asyncio.get_running_loop().time()
        self._heard.append((audio.start_sample + len(audio.data) // 2, now))
        await self.link.send(asr_pb2.TranscribeRequest(audio=audio))

    async def commit(self, utterance: int) -> None:
        """The words up to this utterance were taken."""
        commit = asr_pb2.Commit(utterance=utterance, trace=self._context.spans.asr_context)
        await self.link.send_control(asr_pb2.TranscribeRequest(commit=commit))

    async def hint(self, avatar_speaking: bool) -> None:
        """How to listen from now on."""
        hint = asr_pb2.Hint(avatar_speaking=avatar_speaking)
        await self.link.send_control(asr_pb2.TranscribeRequest(hint=hint))

    def _reached(self, sample: int) -> float:
        """When this sample of the microphone reached us; never earlier than is remembered."""
        if not self._heard:
            return asyncio.get_running_loop().time()
        newest, at = self._heard[-1]
        behind = (newest - sample) / self._microphone.sample_rate_hertz
        return max(self._heard[0][1], at - max(0.0, behind))

    def _passed_on(self, sample: int) -> float | None:
        """When the microphone's sample before ``sample`` was passed on, if that is remembered."""
        return next((at for end, at in self._heard if end >= sample), None)

    def _opening(self, trace: TraceContext) -> asr_pb2.TranscribeRequest:
        return asr_pb2.TranscribeRequest(
            open=asr_pb2.Open(
                session_id=self._context.session_id,
                format=self._microphone,
                language=self._context.locale,
                phrases=self._context.avatar.phrases,
                wants_partials=True,
                trace=trace,
            )
        )

    async def _on_lost(self, problem: StageError) -> None:
        await self._context.post(e.AsrLost())
        await self._context.notice(problem)

    async def _on_back(self, ready: asr_pb2.Ready) -> None:
        logger.info("asr is back")

    async def _on_message(self, arm: str, message: Any) -> None:
        match arm:
            case "speech_started":
                at = self._reached(message.sample)
                await self._context.post(e.SpeechStarted(message.utterance, at))
            case "partial":
                first = message.from_utterance or message.utterance
                await self._context.post(
                    e.Partial(message.utterance, first, message.text, message.stable_characters)
                )
            case "speech_stopped":
                known = self._passed_on(message.heard_sample) if message.heard_sample else None
                at = self._reached(message.sample)
                await self._context.post(e.SpeechStopped(message.utterance, at, known))
            case "end_of_turn":
                await self._context.post(e.EndOfTurn(message.utterance, message.probability))
            case "final":
                first = message.from_utterance or message.utterance
                reported = Reported.read(message.timing)
                await self._context.post(e.Final(message.utterance, first, message.text, reported))
            case "fault":
                await self._context.post(e.Noticed(message))
