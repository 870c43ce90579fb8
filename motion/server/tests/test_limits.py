"""Limits, faults and the admin calls, as the SDK meets them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import websockets
from spatius import AvatarSDKError, SessionTokenError

JSON = {"Content-Type": "application/json"}


def codes(sdk: Any) -> list[str]:
    return [error.code.value for error in sdk.errors]


# -- limits


async def test_concurrency(serve: Any) -> None:
    client = await serve(max_sessions=2)
    first, _ = await client.sdk(), await client.sdk()
    with pytest.raises(AvatarSDKError) as raised:
        await client.sdk()
    assert raised.value.code == "connectionClosed"
    assert raised.value.close_code == 4003
    await first.session.close()
    async with asyncio.timeout(10):
        while len(client.running.server.sessions) > 1:
            await asyncio.sleep(0.01)
    await client.sdk()


async def test_session_duration(serve: Any) -> None:
    sdk = await (await serve(session_seconds=0.3)).sdk()
    await sdk.until(lambda: sdk.closes)
    assert codes(sdk) == ["sessionDurationExceeded", "connectionClosed"]
    assert sdk.errors[1].close_code == 4002


async def test_idle(serve: Any, voice: Any) -> None:
    sdk = await (await serve(idle_seconds=0.5)).sdk()
    for _ in range(4):  # audio keeps it alive
        await asyncio.sleep(0.2)
        await sdk.session.send_audio(bytes(640))
    assert not sdk.errors
    await sdk.until(lambda: sdk.closes)
    assert codes(sdk) == ["idleTimeout"]
    assert "no audio input for 0.5 seconds" in sdk.errors[0].message


async def test_credits(serve: Any) -> None:
    client = await serve(credits=0.1)  # 0.6 s of one session
    sdk = await client.sdk()
    await sdk.until(lambda: sdk.closes)
    assert codes(sdk) == ["creditsExhausted", "connectionClosed"]
    assert sdk.errors[1].close_code == 4001
    with pytest.raises(AvatarSDKError) as raised:
        await client.sdk()
    assert raised.value.code == "billingRequired"


async def test_a_token_that_expires_in_session(serve: Any) -> None:
    clock = [1_000.0]
    client = await serve(enforce_expiry=True, now=lambda: clock[0])
    token = await client.token()
    clock[0] += 59.7
    bare = await client.wire(token)
    assert await bare.close_code() == 4010


async def test_a_token_that_expires_before_its_session(serve: Any) -> None:
    clock = [1_000.0]
    client = await serve(now=lambda: clock[0])
    token = await client.token()
    clock[0] += 60
    with pytest.raises(websockets.InvalidStatus) as raised:
        await client.wire(token)
    assert raised.value.response.status_code == 401
    assert b"Session token expired" in raised.value.response.body


# -- faults


async def test_token_status(serve: Any) -> None:
    client = await serve(fault=["token_status=503", "times=1"])
    with pytest.raises(SessionTokenError) as raised:
        await client.sdk()
    assert raised.value.http_status == 503
    await client.sdk()  # it struck as often as it should


@pytest.mark.parametrize("close_code", [1000, 1011, 1012, 4001, 4002, 4003, 4010, 4503])
async def test_close_code_at_message_2(serve: Any, voice: Any, close_code: int) -> None:
    client = await serve(fault=[f"close_code={close_code}", "at_message=2"])
    sdk = await client.sdk()
    await sdk.session.send_audio(voice(10.0), end=True)
    await sdk.until(lambda: sdk.closes)
    assert len(sdk.payloads) == 1
    assert [error.close_code for error in sdk.errors] == [close_code] * (close_code != 1000)
    with pytest.raises(ValueError, match="not established"):
        await sdk.session.send_audio(b"", end=True)


async def test_server_error_then_close(serve: Any, voice: Any) -> None:
    faults = ["server_error=4002", "server_error_message=session time limit", "close_code=4002"]
    sdk = await (await serve(fault=faults)).sdk()
    await sdk.session.send_audio(voice(3.0), end=True)
    await sdk.until(lambda: sdk.closes)
    assert codes(sdk) == ["sessionDurationExceeded", "connectionClosed"]
    assert not sdk.payloads


async def test_server_error_alone_leaves_the_session(serve: Any, voice: Any) -> None:
    sdk = await (await serve(fault=["server_error=13", "times=1"])).sdk()
    await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))
    assert codes(sdk) == ["serverError"]
    assert not sdk.closes


async def test_drop_at_message_3(serve: Any, voice: Any) -> None:
    sdk = await (await serve(fault=["drop=true", "at_message=3"])).sdk()
    await sdk.session.send_audio(voice(20.0), end=True)
    await sdk.until(lambda: sdk.closes)
    assert len(sdk.payloads) == 2
    assert codes(sdk) == ["connectionClosed"]
    assert sdk.errors[0].close_code is None  # no close frame came


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (["handshake=text"], "protocolError"),
        (["handshake=garbage"], "protocolError"),
        (["at_message=0", "close_code=4010"], "connectionClosed"),
        (["at_message=0", "server_error=16", "close_code=1000"], "invalidEgressConfig"),
        (["at_message=0", "drop=true"], "connectionClosed"),
    ],
)
async def test_handshake_faults(serve: Any, fault: list[str], code: str) -> None:
    client = await serve(fault=[*fault, "times=1"])
    with pytest.raises(AvatarSDKError) as raised:
        await client.sdk()
    assert raised.value.code == code
    await client.sdk()


async def test_a_session_that_is_never_confirmed(serve: Any, new_sdk: Any) -> None:
    client = await serve(fault=["handshake=never"])
    sdk = new_sdk(client.running)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sdk.start(), 0.5)  # the SDK itself gives up after 10 s


async def test_a_session_that_is_confirmed_twice(serve: Any, voice: Any) -> None:
    sdk = await (await serve(fault=["handshake=twice"])).sdk()
    await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))


async def test_latency(serve: Any, voice: Any) -> None:
    sdk = await (await serve(fault=["latency=0.4"])).sdk()
    began = asyncio.get_running_loop().time()
    await sdk.ended(await sdk.session.send_audio(voice(3.0), end=True))
    assert asyncio.get_running_loop().time() - began >= 0.8  # two messages


async def test_motion_faults(serve: Any, voice: Any) -> None:
    client = await serve()
    sdk = await client.sdk()

    async def turn(how: str | None, seconds: float = 3.0) -> Any:
        faults = {"motion": how} if how else {}
        assert (await client.admin("PUT", "/faults", json=faults))[0] == 200
        before = len(sdk.payloads)
        req_id = await sdk.session.send_audio(voice(seconds), end=True)
        if how:  # a second turn, unspoiled, shows that the first one is over
            async with asyncio.timeout(20):
                while client.running.server.faults.struck < (1 if how == "early_end" else 2):
                    await asyncio.sleep(0.01)
            await client.admin("DELETE", "/faults")
            await sdk.ended(await sdk.session.send_audio(b"", end=True))
            return req_id, sdk.animations[before:-1]
        return req_id, await sdk.ended(req_id)

    assert len((await turn(None))[1]) == 2
    assert not (await turn("silent"))[1]
    req_id, animations = await turn("other_req_id")
    assert [a.req_id for a in animations] == [f"other_{req_id}"] * 2
    assert [a.end for a in (await turn("early_end"))[1]] == [True]
    assert [a.end for a in (await turn("no_end"))[1]] == [False, False]
    assert not (await turn("text"))[1]
    assert not sdk.errors
    assert not (await turn("garbage"))[1]
    assert codes(sdk) == ["protocolError", "protocolError"]


async def test_a_message_larger_than_the_sdk_reads(serve: Any, voice: Any) -> None:
    sdk = await (await serve(fault=["motion=oversized"])).sdk()
    await sdk.session.send_audio(voice(1.0), end=True)
    await sdk.until(lambda: sdk.closes)
    assert [error.close_code for error in sdk.errors] == [1009]


# -- the admin calls


async def test_the_state(serve: Any, voice: Any) -> None:
    client = await serve(fault=["latency=0.01"], credits=100)
    sdk = await client.sdk()
    spare = await client.token()
    await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))
    _, state = await client.admin("GET", "/")
    (session,) = state["sessions"]
    assert session["connection_id"] == sdk.animations[0].connection_id
    assert session["audio_bytes"] == 32_000
    assert session["animation_messages"] == 1
    assert session["avatar_id"] == "av"
    assert state["tokens"] == 1
    assert state["faults"] == {"latency": 0.01}
    assert state["windows_seconds"] == [2.0, 4.0]
    assert 0 < state["credits"] <= 100
    assert spare not in str(state)


async def test_faults_are_exchanged_under_a_running_session(serve: Any, voice: Any) -> None:
    client = await serve()
    sdk = await client.sdk()
    await sdk.ended(await sdk.session.send_audio(voice(1.0), end=True))
    fault = {"close_code": 4503, "times": 1}
    assert (await client.admin("PUT", "/faults", json=fault))[1]["faults"] == fault
    await sdk.session.send_audio(voice(1.0), end=True)
    await sdk.until(lambda: sdk.closes)
    assert sdk.errors[0].close_code == 4503
    assert (await client.admin("GET", "/"))[1]["faults"] == {}


async def test_running_sessions_are_ended(serve: Any) -> None:
    client = await serve()
    one, two, three = await client.sdk(), await client.sdk(), await client.sdk()
    name = one.session._connection_id
    how = {"connection_id": name, "close_code": 4010}
    assert await client.admin("POST", "/sessions/end", json=how) == (200, {"ended": [name]})
    await one.until(lambda: one.closes)
    assert one.errors[0].close_code == 4010
    assert not two.closes
    both = {"server_error": 4001, "drop": True}
    assert len((await client.admin("POST", "/sessions/end", json=both))[1]["ended"]) == 2
    for sdk in (two, three):
        await sdk.until(lambda sdk=sdk: sdk.closes)
        assert codes(sdk) == ["creditsExhausted", "connectionClosed"]
    status, _ = await client.admin("POST", "/sessions/end", json=how)
    assert status == 404


async def test_credits_run_out_on_demand(serve: Any) -> None:
    client = await serve()
    sdk = await client.sdk()
    await client.admin("PUT", "/credits", json={"credits": 0})
    await sdk.until(lambda: sdk.closes)
    assert codes(sdk) == ["creditsExhausted", "connectionClosed"]
    await client.admin("PUT", "/credits", json={"credits": None})
    await client.sdk()


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "said"),
    [
        ("PUT", "/faults", {"json": {"close_cod": 1}}, 422, "close_cod"),
        ("PUT", "/faults", {"json": {"close_code": 1006}}, 422, "cannot carry 1006"),
        ("PUT", "/faults", {"json": {"close_code": 999}}, 422, "cannot carry 999"),
        ("PUT", "/faults", {"json": {"latency": -1}}, 422, "latency"),
        ("PUT", "/faults", {"json": {"motion": "odd"}}, 422, "silent"),
        ("PUT", "/faults", {"data": "{", "headers": JSON}, 422, "JSON"),
        ("PUT", "/faults", {"data": "{}"}, 415, "application/json"),
        ("POST", "/sessions/end", {"json": {}}, 422, "close_code or drop"),
        ("PUT", "/credits", {"json": {"credits": -1}}, 422, "credits"),
        ("GET", "/", {"headers": {"Host": "evil.example"}}, 403, "127.0.0.1"),
        ("GET", "/nothing", {}, 404, ""),
    ],
)
async def test_admin_calls_that_are_refused(
    serve: Any, method: str, path: str, request_: dict[str, Any], status: int, said: str
) -> None:
    answered, body = await (await serve()).admin(method, path, **request_)
    assert answered == status
    assert said in body


async def test_the_admin_calls_are_not_on_the_public_port(serve: Any) -> None:
    client = await serve()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{client.running.port}/") as answer,
    ):
        assert answer.status == 404
