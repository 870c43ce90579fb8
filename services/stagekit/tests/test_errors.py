"""Errors, as they look on the other side of a real wire."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from stagekit.errors import DOMAIN, Reason, StageError, from_rpc_error
from stagekit.testing import stream_of
from stagewire.asr.v1 import asr_pb2, asr_pb2_grpc
from stagewire.common.v1 import audio_pb2, error_pb2

PCM = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hertz=16_000)
OPEN = asr_pb2.TranscribeRequest(open=asr_pb2.Open(session_id="s", format=PCM))


async def refused(
    channel: grpc.aio.Channel, *requests: asr_pb2.TranscribeRequest
) -> grpc.aio.AioRpcError:
    call = asr_pb2_grpc.AsrServiceStub(channel).Transcribe(stream_of(requests))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value


async def test_a_refusal_arrives_with_code_reason_and_message(channel: grpc.aio.Channel) -> None:
    error = await refused(channel, OPEN, OPEN)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    stage_error = from_rpc_error(error)
    assert stage_error.reason == error_pb2.ERROR_REASON_ALREADY_OPEN
    assert stage_error.message == "a second `open` message"
    assert not stage_error.retryable


async def test_the_wire_form_is_google_s(channel: grpc.aio.Channel) -> None:
    """What a vendor's client sees that knows nothing of stagekit."""
    error = await refused(channel, asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=b"\0\0")))
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NOT_OPEN", "stagewire.dev")
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_full_says_when_to_come_back(channel: grpc.aio.Channel) -> None:
    stub = asr_pb2_grpc.AsrServiceStub(channel)
    held = [stub.Transcribe() for _ in range(2)]
    for call in held:
        await call.write(OPEN)
        await call.read()
    stage_error = from_rpc_error(await refused(channel, OPEN))
    assert stage_error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stage_error.reason == error_pb2.ERROR_REASON_STAGE_FULL
    assert stage_error.retry_after == 1.0
    assert stage_error.retryable
    for call in held:
        call.cancel()


async def test_a_silent_client_is_refused_in_time(channel: grpc.aio.Channel) -> None:
    call = asr_pb2_grpc.AsrServiceStub(channel).Transcribe()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert from_rpc_error(caught.value).reason == error_pb2.ERROR_REASON_TIMEOUT


async def test_an_unexpected_error_is_internal_and_keeps_its_text_at_home(
    channel: grpc.aio.Channel,
) -> None:
    opening = asr_pb2.Open(session_id="s", format=PCM, language="tlh")
    error = await refused(channel, asr_pb2.TranscribeRequest(open=opening))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in (error.details() or "")
    assert "a secret" not in f"{error.details()}{error.trailing_metadata()}"


async def test_an_error_inside_a_task_group_keeps_its_reason(channel: grpc.aio.Channel) -> None:
    odd = asr_pb2.TranscribeRequest(audio=audio_pb2.Audio(data=b"odd"))
    stage_error = from_rpc_error(await refused(channel, OPEN, odd))
    assert stage_error.reason == error_pb2.ERROR_REASON_MALFORMED_AUDIO


async def test_nobody_there_is_stage_unreachable() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        stage_error = from_rpc_error(await refused(channel, OPEN))
    assert stage_error.reason == error_pb2.ERROR_REASON_STAGE_UNREACHABLE
    assert stage_error.retryable


@pytest.mark.parametrize("reason", [r for r in Reason.values() if r])
def test_every_reason_has_a_canonical_code(reason: error_pb2.ErrorReason.ValueType) -> None:
    error = StageError(reason, "what")
    assert error.code != grpc.StatusCode.UNKNOWN
    fault = error.to_fault(turn=7)
    assert (fault.code, fault.reason, fault.turn) == (error.code.value[0], reason, 7)
    assert fault.retryable == error.retryable
    assert rpc_status.to_status(error.to_status()).code == error.code


def test_someone_else_s_reason_is_not_taken_for_ours() -> None:
    status = StageError(error_pb2.ERROR_REASON_NOT_OPEN, "x").to_status()
    info = error_details_pb2.ErrorInfo(reason="UNKNOWN_VOICE", domain="vendor.example")
    status.details[0].Pack(info)
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString())),
        details="broken",
    )
    assert from_rpc_error(error).reason == error_pb2.ERROR_REASON_BACKEND_FAILED
    assert DOMAIN == "stagewire.dev"
