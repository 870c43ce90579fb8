import asyncio
from collections.abc import AsyncIterator

import pytest
from stagekit.errors import StageError
from stagekit.outbox import Outbox
from stagekit.streams import (
    MAX_AUDIO_BYTES,
    AudioTrack,
    Commands,
    TurnFence,
    check_format,
    check_id,
    duplex,
    task_group,
)
from stagekit.testing import stream_of
from stagewire.asr.v1 import asr_pb2
from stagewire.common.v1 import audio_pb2, error_pb2
from stagewire.motion_bridge.v1 import motion_bridge_pb2

OPEN = asr_pb2.TranscribeRequest(open=asr_pb2.Open(session_id="s"))
AUDIO = asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=b"\0\0"))


def reason(caught: pytest.ExceptionInfo[StageError]) -> str:
    return caught.value.reason_name


async def test_open_is_returned_and_the_rest_comes_with_its_arm() -> None:
    commands = Commands(stream_of([OPEN, AUDIO]))
    assert (await commands.open()).session_id == "s"
    assert [(arm, message.data) async for arm, message in commands] == [("audio", b"\0\0")]


@pytest.mark.parametrize("first", [[], [AUDIO], [asr_pb2.TranscribeRequest()]])
async def test_anything_but_open_first_is_refused(first: list[asr_pb2.TranscribeRequest]) -> None:
    with pytest.raises(StageError) as caught:
        await Commands(stream_of(first)).open()
    assert reason(caught) == "NOT_OPEN"


async def test_a_stream_that_says_nothing_is_refused_in_time() -> None:
    async def silent() -> AsyncIterator[asr_pb2.TranscribeRequest]:
        await asyncio.Event().wait()
        yield OPEN

    with pytest.raises(StageError) as caught:
        await Commands(silent()).open(timeout=0.01)
    assert reason(caught) == "TIMEOUT"


@pytest.mark.parametrize(
    ("second", "expected"),
    [(OPEN, "ALREADY_OPEN"), (asr_pb2.TranscribeRequest(), "UNKNOWN_COMMAND")],
)
async def test_a_second_open_and_an_unknown_arm_are_refused(
    second: asr_pb2.TranscribeRequest, expected: str
) -> None:
    commands = Commands(stream_of([OPEN, second]))
    await commands.open()
    with pytest.raises(StageError) as caught:
        await anext(aiter(commands))
    assert reason(caught) == expected


@pytest.mark.parametrize("session_id", ["", "x" * 129])
async def test_a_session_id_has_1_to_128_characters(session_id: str) -> None:
    check_id("session_id", "x" * 128)
    opening = asr_pb2.TranscribeRequest(open=asr_pb2.Open(session_id=session_id))
    with pytest.raises(StageError, match="session_id") as caught:
        await Commands(stream_of([opening])).open()
    assert reason(caught) == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [
        (audio_pb2.AUDIO_ENCODING_UNSPECIFIED, 16_000),
        (99, 16_000),
        (audio_pb2.AUDIO_ENCODING_PCM_S16LE, 0),
        (audio_pb2.AUDIO_ENCODING_PCM_S16LE, 7_999),
        (audio_pb2.AUDIO_ENCODING_PCM_S16LE, 48_001),
        (audio_pb2.AUDIO_ENCODING_PCM_S16LE, -16_000),
    ],
)
def test_other_formats_are_refused(encoding: audio_pb2.AudioEncoding.ValueType, rate: int) -> None:
    with pytest.raises(StageError) as caught:
        check_format(audio_pb2.AudioFormat(encoding=encoding, sample_rate_hertz=rate))
    assert reason(caught) == "UNSUPPORTED_FORMAT"


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_the_contract_s_formats_are_taken(rate: int) -> None:
    pcm = audio_pb2.AUDIO_ENCODING_PCM_S16LE
    check_format(audio_pb2.AudioFormat(encoding=pcm, sample_rate_hertz=rate))


def test_audio_that_continues_is_taken() -> None:
    track = AudioTrack()
    for start in (0, 320, 640):
        track.accept(audio_pb2.Audio(data=bytes(640), start_sample=start))
    assert track.next_sample == 960


@pytest.mark.parametrize(
    ("size", "start", "expected"),
    [
        (0, 320, "MALFORMED_AUDIO"),
        (641, 320, "MALFORMED_AUDIO"),
        (MAX_AUDIO_BYTES + 2, 320, "MESSAGE_TOO_LARGE"),
        (640, 319, "DISCONTINUITY"),
        (640, 321, "DISCONTINUITY"),
        (640, -1, "DISCONTINUITY"),
    ],
)
def test_audio_that_does_not_is_refused_and_changes_nothing(
    size: int, start: int, expected: str
) -> None:
    track = AudioTrack()
    track.accept(audio_pb2.Audio(data=bytes(640)))
    with pytest.raises(StageError) as caught:
        track.accept(audio_pb2.Audio(data=bytes(size), start_sample=start))
    assert reason(caught) == expected
    track.accept(audio_pb2.Audio(data=bytes(640), start_sample=320))


def test_a_track_may_begin_anywhere_when_told_so_but_not_before_zero() -> None:
    track = AudioTrack(next_sample=None)
    with pytest.raises(StageError, match="-5"):
        track.accept(audio_pb2.Audio(data=bytes(640), start_sample=-5))
    track.accept(audio_pb2.Audio(data=bytes(640), start_sample=1_000))
    assert track.next_sample == 1_320


def audio_of(turn: int) -> motion_bridge_pb2.TurnAudio:
    return motion_bridge_pb2.TurnAudio(turn=turn)


def test_the_fence_admits_the_open_turn_only() -> None:
    fence = TurnFence()
    assert fence.start(3) is None
    assert fence.admits(audio_of(3))
    assert fence.start(5) == 3
    assert not fence.admits(audio_of(3))
    assert fence.admits(audio_of(5))
    assert fence.end(5)
    assert not fence.admits(audio_of(5))


def test_a_turn_ends_once_and_only_the_open_one() -> None:
    fence = TurnFence()
    fence.start(1)
    fence.start(2)
    assert not fence.end(1)
    assert fence.end(2)
    assert not fence.end(2)
    assert fence.start(3) is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_turn_numbers_only_grow(number: int) -> None:
    fence = TurnFence()
    fence.start(2)
    with pytest.raises(StageError) as caught:
        fence.start(number)
    assert reason(caught) == "INVALID_FIELD"
    assert fence.current == 2


@pytest.mark.parametrize("number", [0, 3])
def test_media_of_a_turn_that_was_never_started_is_refused(number: int) -> None:
    fence = TurnFence()
    fence.start(2)
    with pytest.raises(StageError) as caught:
        fence.admits(audio_of(number))
    assert reason(caught) == "INVALID_FIELD"


async def test_duplex_sends_everything_before_it_ends() -> None:
    outbox: Outbox[int] = Outbox(2)

    async def work() -> None:
        for number in range(10):
            await outbox.put(number)

    assert [number async for number in duplex(work(), outbox)] == list(range(10))


async def test_duplex_raises_what_the_work_raised_after_what_it_sent() -> None:
    outbox: Outbox[int] = Outbox(2)

    async def work() -> None:
        await outbox.put(1)
        raise StageError(error_pb2.ERROR_REASON_NOT_OPEN, "no")

    sent = []
    with pytest.raises(StageError):  # noqa: PT012  # what came before the error matters
        async for number in duplex(work(), outbox):
            sent.append(number)
    assert sent == [1]


async def test_duplex_cancels_the_work_when_the_reader_leaves() -> None:
    outbox: Outbox[int] = Outbox(2)
    cancelled = asyncio.Event()

    async def work() -> None:
        await outbox.put(1)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stream = duplex(work(), outbox)
    assert await anext(stream) == 1
    await stream.aclose()
    assert cancelled.is_set()


async def test_task_group_raises_the_first_error_bare() -> None:
    async def refuse() -> None:
        raise StageError(error_pb2.ERROR_REASON_TIMEOUT, "late")

    with pytest.raises(StageError, match="late"):
        async with task_group() as group:
            group.create_task(refuse())
