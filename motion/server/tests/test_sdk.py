"""The unmodified SDK against the server: what it sees is what it sees of the real one."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import Any

import pytest
import spatius
from spatius import AudioFormat, AvatarSDKError, LiveKitEgressConfig, OggOpusEncoderConfig
from stagewire_motion_codec import spatius as codec

PCM_RATES = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
OPUS_RATES = [8_000, 12_000, 16_000, 24_000, 48_000]


@pytest.mark.parametrize("use_query_auth", [False, True], ids=["headers", "query"])
async def test_a_turn(serve: Any, voice: Any, use_query_auth: bool) -> None:
    client = await serve()
    sdk = await client.sdk(use_query_auth=use_query_auth)
    req_id = await sdk.session.send_audio(voice(1.0), end=True)
    (animation,) = await sdk.ended(req_id)
    assert animation.end
    assert len(animation.keyframes) == 25
    assert animation.avatar_id == "av"
    assert animation.connection_id
    assert not sdk.errors
    await sdk.session.close()
    assert sdk.closes == 2  # the SDK's own way


async def test_windows_are_the_real_servers(serve: Any, voice: Any) -> None:
    """A captured answer of 20.3 s came in 50, 100, 100, 100, 100 and 57 keyframes."""
    sdk = await (await serve()).sdk()
    pcm = voice(20.3)
    for begin in range(0, len(pcm), 6_400):
        await sdk.session.send_audio(pcm[begin : begin + 6_400])
    req_id = await sdk.session.send_audio(b"", end=True)
    animations = await sdk.ended(req_id)
    assert [len(animation.keyframes) for animation in animations] == [50, 100, 100, 100, 100, 57]
    assert [animation.end for animation in animations] == [False] * 5 + [True]
    assert len(sdk.payloads[1]) == pytest.approx(49_868, abs=20)
    assert max(map(len, sdk.payloads)) < 1 << 20


async def test_the_last_message_carries_motion_at_a_windows_edge(serve: Any, voice: Any) -> None:
    sdk = await (await serve()).sdk()
    await sdk.session.send_audio(voice(6.0))
    animations = await sdk.ended(await sdk.session.send_audio(b"", end=True))
    assert [len(animation.keyframes) for animation in animations] == [50, 100]


async def test_low_latency_answers_before_the_turn_is_over(serve: Any, voice: Any) -> None:
    sdk = await (await serve(low_latency=True)).sdk()
    req_id = await sdk.session.send_audio(voice(0.5))
    await sdk.until(lambda: sdk.payloads)
    assert [len(a.keyframes) for a in sdk.of(req_id)[:1]] == [5]
    await sdk.session.send_audio(b"", end=True)
    assert sum(len(a.keyframes) for a in await sdk.ended(req_id)) == 12


@pytest.mark.parametrize("sample_rate", PCM_RATES)
async def test_every_pcm_rate(serve: Any, voice: Any, sample_rate: int) -> None:
    sdk = await (await serve()).sdk(sample_rate=sample_rate)
    req_id = await sdk.session.send_audio(voice(1.03, sample_rate), end=True)
    assert sum(len(a.keyframes) for a in await sdk.ended(req_id)) == 25


@pytest.mark.parametrize("frame_duration_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("sample_rate", OPUS_RATES)
async def test_opus_of_the_sdks_encoder_is_the_same_motion(
    serve: Any, voice: Any, sample_rate: int, frame_duration_ms: int
) -> None:
    encoded: list[bytes] = []
    sdk = await (await serve()).sdk(
        sample_rate=sample_rate,
        audio_format=AudioFormat.OGG_OPUS,
        ogg_opus_encoder=OggOpusEncoderConfig(frame_duration_ms=frame_duration_ms),
        on_encoded_audio=lambda _, data: encoded.append(data),
    )
    pcm = voice(2.51, sample_rate)
    third = len(pcm) // 6 * 2
    for begin in range(0, len(pcm), third):
        req_id = await sdk.session.send_audio(pcm[begin : begin + third])
    await sdk.session.send_audio(b"", end=True)
    animations = await sdk.ended(req_id)
    # Pre-skip and padding are no speech: the count is that of the PCM.
    assert [len(a.keyframes) for a in animations] == [50, 12]
    opened = [k.jaw_pose[0] for a in animations for k in a.keyframes]
    assert max(opened) > 0.02
    assert encoded

    again = await sdk.session.send_audio(pcm, end=True)  # a second Ogg stream in one session
    assert sum(len(a.keyframes) for a in await sdk.ended(again)) == 62


async def test_encoded_opus_in_pieces_cut_anywhere(serve: Any, voice: Any) -> None:
    encoded: list[bytes] = []
    client = await serve()
    first = await client.sdk(
        audio_format=AudioFormat.OGG_OPUS,
        ogg_opus_encoder=OggOpusEncoderConfig(),
        on_encoded_audio=lambda _, data: encoded.append(data),
    )
    req_id = await first.session.send_audio(voice(1.0), end=True)
    expected = [k for a in await first.ended(req_id) for k in a.keyframes]
    second = await client.sdk(audio_format=AudioFormat.OGG_OPUS)
    for begin in range(0, len(encoded[0]), 77):
        req_id = await second.session.send_audio(encoded[0][begin : begin + 77])
    await second.session.send_audio(b"", end=True)
    assert [k for a in await second.ended(req_id) for k in a.keyframes] == expected


async def test_an_end_without_audio_is_an_end(serve: Any) -> None:
    sdk = await (await serve()).sdk()
    (animation,) = await sdk.ended(await sdk.session.send_audio(b"", end=True))
    assert animation.end
    assert not animation.keyframes


async def test_several_req_ids_are_answered_in_order(serve: Any, voice: Any) -> None:
    sdk = await (await serve()).sdk()
    req_ids = [await sdk.session.send_audio(voice(1.0), end=True) for _ in range(5)]
    await sdk.ended(req_ids[-1])
    assert [a.req_id for a in sdk.animations] == req_ids
    assert all(a.end for a in sdk.animations)


async def test_an_interrupt_silences_its_req_id_and_no_other(serve: Any, voice: Any) -> None:
    client = await serve(fault=["latency=0.3"])
    sdk = await client.sdk()
    first = await sdk.session.send_audio(voice(20.0))
    await sdk.until(lambda: sdk.of(first))
    assert await sdk.session.interrupt() == first
    sent = len(sdk.of(first))
    second = await sdk.session.send_audio(voice(1.0), end=True)
    assert second != first
    await sdk.ended(second)
    assert len(sdk.of(first)) <= sent + 1  # what was on its way
    assert not any(a.end for a in sdk.of(first))
    assert not sdk.errors


async def test_an_interrupt_after_the_end(serve: Any, voice: Any) -> None:
    client = await serve(fault=["latency=0.5"])
    sdk = await client.sdk()
    first = await sdk.session.send_audio(voice(5.0), end=True)
    assert await sdk.session.interrupt() == first
    second = await sdk.session.send_audio(b"", end=True)
    await sdk.ended(second)
    assert not sdk.of(first)


async def test_two_sessions_do_not_mix(serve: Any, voice: Any) -> None:
    client = await serve()
    one, other = await asyncio.gather(client.sdk(avatar_id="one"), client.sdk(avatar_id="other"))
    loud, silent = await asyncio.gather(
        one.session.send_audio(voice(3.0), end=True),
        other.session.send_audio(bytes(96_000), end=True),
    )
    await asyncio.gather(one.ended(loud), other.ended(silent))
    assert {a.avatar_id for a in one.animations} == {"one"}
    assert {a.avatar_id for a in other.animations} == {"other"}
    assert {a.connection_id for a in one.animations} != {a.connection_id for a in other.animations}

    def jaw(sdk: Any) -> set[float]:
        return {round(k.jaw_pose[0], 4) for a in sdk.animations for k in a.keyframes}

    assert max(jaw(one)) > 0.02
    assert jaw(other) == {0.01}


async def test_values_are_where_the_real_ones_are(serve: Any, voice: Any) -> None:
    sdk = await (await serve()).sdk()
    (animation,) = await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))
    for k in animation.keyframes:
        assert k.translation == pytest.approx((-0.0007, 0.0037, -0.0008), abs=1e-6)
        assert k.rotation == (0.0,) * 3
        assert 0.01 <= k.jaw_pose[0] <= 0.0601
        assert k.jaw_pose[1:] == pytest.approx((-0.0051, 0.0105), abs=1e-6)
        assert 0.05 < k.neck_pose[0] < 0.2
        assert all(0 <= lid <= 1 for lid in k.eye_lid)
        assert k.expression == (0.0,) * 100


# -- what the SDK raises


@pytest.mark.parametrize(
    ("options", "config", "code"),
    [
        ({"avatar_id": ["known"]}, {}, "avatarNotFound"),
        ({"app_id": ["known"]}, {}, "appIDMismatch"),
        ({"credits": 0}, {}, "billingRequired"),
        ({"fault": ["connect_status=400"]}, {}, "sessionTokenInvalid"),
        ({"fault": ["connect_status=401"]}, {}, "sessionTokenExpired"),
        ({"fault": ["connect_status=503"]}, {}, "serverError"),
        ({}, {"sample_rate": 11_025}, "unsupportedSampleRate"),
        ({}, {"sample_rate": 0}, "unsupportedSampleRate"),
        (
            {},
            {"sample_rate": 44_100, "audio_format": AudioFormat.OGG_OPUS},
            "unsupportedSampleRate",
        ),
        ({}, {"livekit_egress": LiveKitEgressConfig(url="ws://lk")}, "invalidEgressConfig"),
        (
            {},
            {"livekit_egress": LiveKitEgressConfig(url="", api_token="t")},
            "invalidEgressConfig",
        ),
        (
            {},
            {"livekit_egress": LiveKitEgressConfig(url="ws://lk", api_token="t", room_name="r")},
            "egressUnavailable",
        ),
        (
            {},
            {"agora_egress": spatius.AgoraEgressConfig(channel_name="c", publisher_id="p")},
            "egressUnavailable",
        ),
    ],
)
async def test_a_start_that_is_refused(
    serve: Any, options: dict[str, Any], config: dict[str, Any], code: str
) -> None:
    client = await serve(**options)
    with pytest.raises(AvatarSDKError) as raised:
        await client.sdk(**config)
    assert raised.value.code == code


async def test_a_wrong_key_gets_no_token(serve: Any) -> None:
    client = await serve(api_key=["right"])
    with pytest.raises(spatius.SessionTokenError) as raised:
        await client.sdk(api_key="wrong")
    assert raised.value.http_status == 401
    assert raised.value.server_code == "unauthorized"
    await client.sdk(api_key="right")


async def test_a_token_opens_one_session(serve: Any, new_sdk: Any) -> None:
    client = await serve()
    sdk = await client.sdk()
    again = new_sdk(client.running)
    again.session._session_token = sdk.session._session_token
    with pytest.raises(AvatarSDKError) as raised:
        await again.session.start()
    assert raised.value.code == "sessionTokenInvalid"


async def test_a_token_may_be_used_again_where_that_is_wanted(serve: Any, new_sdk: Any) -> None:
    client = await serve(reusable_tokens=True)
    sdk = await client.sdk()
    again = new_sdk(client.running)
    again.session._session_token = sdk.session._session_token
    await again.session.start()
    await again.session.close()


async def test_prewarm_warms(serve: Any) -> None:
    client = await serve()
    result = await spatius.prewarm(
        app_id="warm",
        api_key="local",
        console_endpoint_url=client.running.console,
        ingress_endpoint_url=client.running.ingress,
        warm_tls=False,
        prefetch_session_token=True,
    )
    assert result.session_token_prefetched
    await client.sdk(app_id="warm")


async def test_the_payload_is_what_the_codec_packs(serve: Any, voice: Any) -> None:
    sdk = await (await serve()).sdk()
    await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))
    (payload,) = sdk.payloads
    assert codec.pack(codec.unpack(payload)) == payload


@pytest.mark.models
async def test_a_recorded_voice_moves_the_jaw_with_the_model_that_hears_sounds(serve: Any) -> None:
    recording = Path(__file__).parents[3] / "cli/src/stagewire_cli/data/question.wav"
    with wave.open(str(recording)) as wav:
        rate, pcm = wav.getframerate(), wav.readframes(wav.getnframes())
    client = await serve(loudness_only=False)
    sdk = await client.sdk(sample_rate=rate)
    turns = []
    for _ in range(2):
        animations = await sdk.ended(await sdk.session.send_audio(pcm + bytes(rate), end=True))
        turns.append([k.jaw_pose[0] for a in animations for k in a.keyframes])
        assert len(turns[-1]) == (len(pcm) + rate) // 2 * 25 // rate
    jaw = turns[0]
    assert max(jaw) > 0.02
    assert jaw[-1] == pytest.approx(0.01, abs=1e-4)  # half a second of silence shuts it
    assert turns[1] == pytest.approx(jaw, abs=0.01)
