"""What was said, as the asr stage hears it, and how to compare it."""

from __future__ import annotations

import re

import grpc
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2
from support.stack import Stack


def words(text: str) -> list[str]:
    """Lower-case words, numbers spelled as the transcripts spell them."""
    text = text.lower().replace("-", " ").replace("10", "ten").replace("mr.", "mister")
    return re.findall(r"[a-z']+", text)


async def transcribe(stack: Stack, pcm: bytes, hertz: int) -> str:
    """What the asr stage hears in a recording."""
    async with grpc.aio.insecure_channel(stack.supervisor.target("asr")) as channel:
        call = asr_pb2_grpc.AsrServiceStub(channel).Transcribe()
        voice = audio_pb2.AudioFormat(encoding=1, sample_rate_hertz=hertz)
        opening = asr_pb2.Open(session_id="check", format=voice)
        await call.write(asr_pb2.TranscribeRequest(open=opening))
        pcm += bytes(2 * hertz)
        for start in range(0, len(pcm), 9_600):
            audio = audio_pb2.Audio(data=pcm[start : start + 9_600], start_sample=start // 2)
            await call.write(asr_pb2.TranscribeRequest(audio=audio))
        await call.done_writing()
        said: dict[int, str] = {}
        async for response in call:
            if response.WhichOneof("message") == "final":
                final = response.final
                kept = {k: v for k, v in said.items() if k < final.from_utterance}
                said = {**kept, final.utterance: final.text}
        return " ".join(said.values())
