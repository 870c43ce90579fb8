"""The contract's side, on a backend that this file scripts."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from stagekit import backends
from stagekit.errors import StageError
from stagewire.asr.v1 import asr_pb2
from stagewire.common.v1 import audio_pb2, describe_pb2, describe_pb2_grpc, error_pb2, trace_pb2
from stagewire_asr.backend import (
    EndOfTurn,
    Failed,
    Final,
    Info,
    Partial,
    SpeechStarted,
    SpeechStopped,
    Timing,
    Word,
)
from stagewire_asr.service import stage_of
from stagewire_asr.settings import AsrSettings


class ScriptedBackend:
    """A fake recognizer at 16 kHz: one utterance for each call of finalize."""

    info = Info("scripted", (), ("en", "de"), ("partials",), 16_000)

    def __init__(self):
        self.calls = []
        self.options = None
        self.ended = 0

    def resolve(self, tag):
        if tag.split("-")[0] not in self.info.languages:
            raise StageError(error_pb2.ERROR_REASON_UNSUPPORTED_LANGUAGE, f"no {tag!r} here")
        return tag.split("-")[0]

    @asynccontextmanager
    async def listen(self, options, emit):
        self.options, self.emit, self.utterance = options, emit, 0
        yield self
        self.ended += 1

    async def feed(self, samples):
        self.calls.append(("feed", len(samples)))

    async def hint(self, *, avatar_speaking):
        self.calls.append(("hint", avatar_speaking))

    async def commit(self, utterance):
        self.calls.append(("commit", utterance))

    async def finalize(self):
        self.utterance += 1
        u = self.utterance
        for event in (
            SpeechStarted(u, 16_000),
            Partial(u, 1, "hello", 3),
            SpeechStopped(u, 32_000, 33_600),
            EndOfTurn(u, 0.75, 4_800),
            Failed(StageError(error_pb2.ERROR_REASON_BACKEND_FAILED, "a hiccup")),
            Final(
                u, 1, "hello", "en", 0.5, (Word("hello", 16_000, 16_000, 0, 5),), Timing(0, 0.1, 1)
            ),
        ):
            await self.emit(event)

    async def close(self):
        pass


@pytest.fixture
def scripted():
    return ScriptedBackend()


@pytest.fixture
async def client(scripted, connect):
    async with connect(stage_of(scripted, AsrSettings(max_sessions=1))) as new_client:
        yield new_client


def silence(start=0, size=1280):
    return audio_pb2.Audio(data=bytes(size), start_sample=start)


async def test_ready_tells_language_limits_and_features(client, scripted):
    talk = client()
    ready = await talk.open(language="de-CH", phrases=["Zug"], wants_words=True)
    assert (ready.language, list(ready.features)) == ("de", ["partials"])
    assert ready.max_audio_bytes > 0
    assert (scripted.options.phrases, scripted.options.wants_words) == (("Zug",), True)


async def test_no_language_means_the_services_own(client):
    assert (await client().open()).language == "en"


async def test_offsets_are_the_callers(client):
    talk = client(rate=48_000, first_sample=1_000_000)
    await talk.open()
    await talk.send(audio=silence(1_000_000, 9_600))
    await talk.send(finalize=asr_pb2.Finalize())
    await talk.rest()
    assert [m.WhichOneof("message") for m in talk.responses] == [
        "ready",
        "speech_started",
        "partial",
        "speech_stopped",
        "end_of_turn",
        "fault",
        "final",
    ]
    assert talk.all("speech_started")[0].sample == 1_048_000
    assert talk.all("speech_stopped")[0].sample == 1_096_000
    assert talk.all("speech_stopped")[0].heard_sample == 1_100_800
    assert talk.all("partial")[0].stable_characters == 3
    assert talk.all("end_of_turn")[0].silence.ToMilliseconds() == 300
    assert talk.all("fault")[0].reason == error_pb2.ERROR_REASON_BACKEND_FAILED
    final = talk.all("final")[0]
    assert (final.text, final.words[0].start_sample) == ("hello", 1_048_000)
    assert final.words[0].end_sample > final.words[0].start_sample
    assert final.timing.queue_wait.ToMilliseconds() == 100
    assert final.timing.compute_to_first_output.ToMilliseconds() == 900
    assert final.timing.since_trigger.ToMilliseconds() > 1000


async def test_commands_reach_the_session_in_order(client, scripted):
    talk = client()
    await talk.open()
    await talk.send(audio=silence())
    await talk.send(hint=asr_pb2.Hint(avatar_speaking=True))
    await talk.send(finalize=asr_pb2.Finalize())
    await talk.send(commit=asr_pb2.Commit(utterance=1))
    await talk.rest()
    assert scripted.calls == [("feed", 640), ("hint", True), ("commit", 1)]
    assert scripted.ended == 1


@pytest.mark.parametrize("utterance", [0, 2])
async def test_a_commit_of_no_utterance_is_a_fault_and_the_stream_goes_on(
    client, scripted, utterance
):
    talk = client()
    await talk.open()
    await talk.send(finalize=asr_pb2.Finalize())
    await talk.send(commit=asr_pb2.Commit(utterance=utterance))
    await talk.send(audio=silence())
    await talk.rest()
    assert talk.all("fault")[-1].reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert scripted.calls == [("feed", 640)]


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ({"audio": audio_pb2.Audio(data=b"\0\0\0", start_sample=640)}, "MALFORMED_AUDIO"),
        ({"audio": audio_pb2.Audio(start_sample=640)}, "MALFORMED_AUDIO"),
        ({"audio": silence(641)}, "DISCONTINUITY"),
        ({"audio": silence(639)}, "DISCONTINUITY"),
        ({"audio": silence(640, (1 << 20) + 2)}, "MESSAGE_TOO_LARGE"),
        ({"open": asr_pb2.Open(session_id="s")}, "ALREADY_OPEN"),
        ({}, "UNKNOWN_COMMAND"),
    ],
)
async def test_a_bad_command_ends_the_stream_with_its_reason(client, arm, reason):
    talk = client()
    await talk.open()
    await talk.send(audio=silence())
    await talk.send(**arm)
    assert await talk.failure() == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def audio_format(rate, encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE):
    return audio_pb2.AudioFormat(encoding=encoding, sample_rate_hertz=rate)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"session_id": ""}, "INVALID_FIELD"),
        ({"session_id": "x" * 129}, "INVALID_FIELD"),
        ({"format": audio_format(7_999)}, "UNSUPPORTED_FORMAT"),
        ({"format": audio_format(96_000)}, "UNSUPPORTED_FORMAT"),
        ({"format": audio_format(16_000, 0)}, "UNSUPPORTED_FORMAT"),
        ({"language": "tlh"}, "UNSUPPORTED_LANGUAGE"),
        ({"phrases": ["x"] * 101}, "INVALID_FIELD"),
    ],
)
async def test_a_bad_open_is_refused_with_its_reason(client, fields, reason):
    talk = client()
    opening = asr_pb2.Open(**{"session_id": "s", "format": audio_format(16_000), **fields})
    await talk.send(open=opening)
    assert await talk.failure() == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_anything_before_open_is_refused(client):
    talk = client()
    await talk.send(audio=silence())
    assert await talk.failure() == (grpc.StatusCode.INVALID_ARGUMENT, "NOT_OPEN")


async def test_a_full_stage_says_so_and_a_place_comes_back(client):
    first, second, third = client(), client(), client()
    await first.open(trace=trace_pb2.TraceContext(traceparent="nonsense"))
    await second.send(open=asr_pb2.Open(session_id="t", format=audio_format(16_000)))
    assert await second.failure() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STAGE_FULL")
    await first.rest()
    await third.open()


async def test_a_cancelled_stream_gives_its_place_back(client):
    first, second = client(), client()
    await first.open()
    first.call.cancel()
    await asyncio.sleep(0.2)
    await second.open()


async def test_a_drain_says_going_away_and_takes_nothing_new(scripted, connect):
    stage = stage_of(scripted, AsrSettings(drain_seconds=12))
    async with connect(stage) as new_client:
        talk = new_client()
        await talk.open()
        stage.admission.draining = True
        stage.drain.set()
        assert (await talk.next("going_away")).grace.ToSeconds() == 12
        late = new_client()
        await late.send(open=asr_pb2.Open(session_id="t", format=audio_format(16_000)))
        assert await late.failure() == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        await talk.send(finalize=asr_pb2.Finalize())
        assert (await talk.next("final")).text == "hello"


async def test_a_backends_own_error_keeps_its_status(scripted, client):
    async def refuse(samples):
        raise StageError(error_pb2.ERROR_REASON_BACKEND_UNAUTHENTICATED, "the key is wrong")

    scripted.feed = refuse
    talk = client()
    await talk.open()
    await talk.send(audio=silence())
    assert await talk.failure() == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "BACKEND_UNAUTHENTICATED",
    )


async def test_describe_tells_what_runs(scripted):
    from stagekit.testing import channel_to

    async with channel_to(stage_of(scripted, AsrSettings(max_sessions=3))) as channel:
        stub = describe_pb2_grpc.StageServiceStub(channel)
        description = (await stub.Describe(describe_pb2.DescribeRequest())).description
    assert (description.stage, description.backend) == ("asr", "scripted")
    assert list(description.contracts) == ["stagewire.asr.v1"]
    assert list(description.languages) == ["en", "de"]
    assert description.limits["sessions"] == 3


def test_the_default_backend_is_installed():
    assert AsrSettings().backend in backends.names("asr")
