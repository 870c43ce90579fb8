"""The contract over a real channel, with a fake voice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from stagekit.errors import StageError, from_rpc_error
from stagekit.testing import stream_of
from stagewire.common.v1 import audio_pb2
from stagewire.tts.v1 import tts_pb2, tts_pb2_grpc

Serve = Callable[..., AbstractAsyncContextManager[Any]]
Request = tts_pb2.SynthesizeRequest


def opening(**fields: Any) -> Request:
    defaults = {"session_id": "s", "turn": 1, "wants_words": True, "wants_phonemes": True}
    return Request(open=tts_pb2.Open(**{**defaults, **fields}))


def text(value: str) -> Request:
    return Request(text=tts_pb2.Text(text=value))


def pcm(rate: int, encoding: int = 1) -> audio_pb2.AudioFormat:
    return audio_pb2.AudioFormat(encoding=encoding, sample_rate_hertz=rate)  # wrong values too


async def call(channel: Any, messages: Iterable[Request]) -> list[tts_pb2.SynthesizeResponse]:
    stub = tts_pb2_grpc.TtsServiceStub(channel)
    async with asyncio.timeout(10):
        return [response async for response in stub.Synthesize(stream_of(messages))]


async def refusal(channel: Any, *messages: Request) -> StageError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, messages)
    return from_rpc_error(refused.value)


def arms(responses: list[tts_pb2.SynthesizeResponse]) -> list[str | None]:
    return [response.WhichOneof("message") for response in responses]


@pytest.mark.parametrize("rate", [None, 8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("percent", [0, 50, 133, 200])
async def test_a_turn_is_contiguous_to_the_sample(
    serve: Serve, rate: int | None, percent: int
) -> None:
    texts = ["Hello there,", " how are you? I am", " very fine 😀. ", "!!! ", "Bye."]
    wanted = {} if rate is None else {"format": pcm(rate)}
    async with serve() as channel:
        responses = await call(
            channel,
            [opening(speaking_rate_percent=percent, **wanted), *map(text, texts)],
        )
    joined = "".join(texts)
    ready, done = responses[0].ready, responses[-1].done
    assert ready.format.sample_rate_hertz == (rate or 24_000)
    assert ready.voice == "hum"
    at = sounds_until = words_until = 0
    words: list[Any] = []
    for response in responses[1:-1]:
        arm = response.WhichOneof("message")
        if arm == "phonemes":
            for phoneme in response.phonemes.phonemes:
                assert phoneme.start_sample == sounds_until < phoneme.end_sample
                sounds_until = phoneme.end_sample
        elif arm == "words":
            words += response.words.words
        else:
            assert arm == "audio"
            assert response.audio.start_sample == at
            size = len(response.audio.data) // 2
            longest = 0.06 if at else 0.04
            assert 0 < size <= round(longest * ready.format.sample_rate_hertz)
            at += size
            assert sounds_until >= at, "phonemes come before their audio"
    assert done.samples == at == sounds_until
    assert done.characters == len(joined)
    for word in words:
        assert words_until <= word.start_sample < word.end_sample <= at
        assert joined[word.text_start : word.text_end] == word.text
        words_until = word.end_sample
    assert [word.text for word in words] == [w for w in joined.split() if w[0].isalnum()]


async def test_timing_is_measured(serve: Serve) -> None:
    async with serve() as channel:
        responses = await call(channel, [opening(), text("Hello there.")])
    first, *later = [
        response for response in responses if response.WhichOneof("message") == "audio"
    ]
    assert not any(response.HasField("timing") for response in later)
    timing, early = responses[-1].done.timing, first.timing
    assert early.queue_wait == timing.queue_wait
    assert early.compute_to_first_output == timing.compute_to_first_output
    assert early.since_trigger.ToNanoseconds() <= timing.since_trigger.ToNanoseconds()
    parts = [timing.queue_wait, timing.compute_to_first_output, timing.since_trigger]
    wait, compute, whole = (part.ToNanoseconds() for part in parts)
    assert wait >= 0
    assert compute > 0
    assert wait + compute <= whole


async def test_words_and_phonemes_only_when_wanted(serve: Serve) -> None:
    async with serve() as channel:
        responses = await call(
            channel, [opening(wants_words=False, wants_phonemes=False), text("Hello there.")]
        )
    assert set(arms(responses)) == {"ready", "audio", "done"}


@pytest.mark.parametrize("texts", [[], [""], [" \n\t"], ["😀🎉"], ["...", "!?", "\0"]])
async def test_nothing_to_say_is_no_error(serve: Serve, texts: list[str]) -> None:
    async with serve() as channel:
        responses = await call(channel, [opening(), *map(text, texts)])
    assert arms(responses) == ["ready", "done"]
    assert responses[-1].done.samples == 0
    assert responses[-1].done.characters == sum(map(len, texts))


async def test_text_is_spoken_before_the_half_close_and_without_a_flush(serve: Serve) -> None:
    more = asyncio.Event()

    async def requests() -> Any:
        yield opening()
        yield text("Hello there,")
        await more.wait()
        yield Request(flush=tts_pb2.Flush())
        yield text(" and goodbye.")

    async with serve() as channel, asyncio.timeout(10):
        stream = tts_pb2_grpc.TtsServiceStub(channel).Synthesize(requests())
        seen = []
        async for response in stream:
            seen.append(response.WhichOneof("message"))
            if seen.count("audio") == 3:
                more.set()
    assert seen[-1] == "done"
    assert seen.count("words") == 2


async def test_long_text_is_spoken_in_bounded_clauses(serve: Serve, backend: Any) -> None:
    async with serve() as channel:
        await call(channel, [opening(), text("word " * 800)])
    assert "".join(backend.texts) == "word " * 800
    assert max(map(len, backend.texts)) <= 220


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([text("Hello.")], "NOT_OPEN"),
        ([opening(), opening()], "ALREADY_OPEN"),
        ([opening(), Request()], "UNKNOWN_COMMAND"),
        ([opening(session_id="")], "INVALID_FIELD"),
        ([opening(turn=0)], "INVALID_FIELD"),
        ([opening(voice="nobody")], "UNKNOWN_VOICE"),
        ([opening(language="de-DE")], "UNSUPPORTED_LANGUAGE"),
        ([opening(language="\0")], "UNSUPPORTED_LANGUAGE"),
        ([opening(speaking_rate_percent=49)], "INVALID_FIELD"),
        ([opening(speaking_rate_percent=201)], "INVALID_FIELD"),
        ([opening(speaking_rate_percent=-1)], "INVALID_FIELD"),
        ([opening(format=pcm(7_999))], "UNSUPPORTED_FORMAT"),
        ([opening(format=pcm(24_000, 0))], "UNSUPPORTED_FORMAT"),
        ([opening(), text("a" * 4_001)], "INVALID_FIELD"),
    ],
)
async def test_refused(serve: Serve, messages: list[Request], reason: str) -> None:
    async with serve() as channel:
        error = await refusal(channel, *messages)
        assert error.reason_name == reason
        assert "aaaa" not in error.message
        assert arms(await call(channel, [opening(), text("Still well.")]))[-1] == "done"


@pytest.mark.parametrize("language", ["", "en", "en-US", "EN-gb", "en_AU"])
async def test_languages(serve: Serve, language: str) -> None:
    async with serve() as channel:
        assert arms(await call(channel, [opening(language=language)])) == ["ready", "done"]


async def test_full(serve: Serve, backend: Any) -> None:
    backend.gate.clear()
    async with serve(max_sessions=1) as channel:
        first = asyncio.create_task(call(channel, [opening(), text("Hello.")]))
        await asyncio.to_thread(backend.entered.wait, 5)
        assert (await refusal(channel, opening())).reason_name == "STAGE_FULL"
        backend.gate.set()
        assert arms(await first)[-1] == "done"


async def test_a_cancel_in_mid_clause_frees_the_place_and_stops_the_work(
    serve: Serve, backend: Any
) -> None:
    backend.gate.clear()
    async with serve(max_sessions=1) as channel:
        messages = [opening(), text("One sentence. Another sentence. And a third one.")]
        stream = tts_pb2_grpc.TtsServiceStub(channel).Synthesize(stream_of(messages))
        assert (await stream.read()).WhichOneof("message") == "ready"
        await asyncio.to_thread(backend.entered.wait, 5)
        stream.cancel()
        async with asyncio.timeout(5):
            await channel.stage.admission.idle()
        backend.gate.set()
        assert arms(await call(channel, [opening(), text("A new turn.")]))[-1] == "done"
    assert backend.texts == ["One sentence.", "A new turn."]


async def test_a_peer_that_does_not_read_stops_synthesis(serve: Serve, backend: Any) -> None:
    async with serve() as channel:
        messages = [opening(), *(text("These are some words to speak now. ") for _ in range(400))]
        stream = tts_pb2_grpc.TtsServiceStub(channel).Synthesize(stream_of(messages))
        assert (await stream.read()).WhichOneof("message") == "ready"
        spoken = -1
        while spoken != len(backend.texts):
            spoken = len(backend.texts)
            await asyncio.sleep(0.3)
        assert 0 < spoken < 200
        stream.cancel()


async def test_what_a_failing_voice_says_is_no_secret_leak(serve: Serve, backend: Any) -> None:
    def fail(text: str, voice: str, rate: float) -> None:
        raise ValueError(f"cannot speak {text}")

    backend.synthesize = fail
    async with serve() as channel:
        error = await refusal(channel, opening(), text("violet heron"))
    assert error.reason_name == "BACKEND_FAILED"
    assert "heron" not in error.message
