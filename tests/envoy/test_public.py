"""The public port: what is there, what is not, and what a stranger cannot pretend."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from stagewire.llm.v1 import llm_pb2, llm_pb2_grpc
from stagewire.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from stagewire.tts.v1 import tts_pb2_grpc
from support.behind_envoy import Behind, answered, envoy_alone
from support.certificates import self_made
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.asyncio(loop_scope="session")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def test_page_api_websocket_and_grpc_are_on_one_port(behind: Behind) -> None:
    async with httpx.AsyncClient(base_url=behind.url, trust_env=False) as http:
        page = await http.get("/")
        assert page.status_code == 200
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert "x-envoy-upstream-service-time" not in page.headers
        assert (await http.get("/v1/sessions")).status_code == 200
    async with behind.client() as (session, client):
        assert session.join_url == f"ws://localhost:{behind.ports.public}/v1/join"
        await answered(client)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{behind.ports.public}") as channel:
            api = orchestrator_pb2_grpc.SessionServiceStub(channel)
            listed = await api.ListSessions(orchestrator_pb2.ListSessionsRequest(), timeout=5)
            assert session.session_id in [one.session_id for one in listed.sessions]
            watched = api.WatchSession(
                orchestrator_pb2.WatchSessionRequest(session_id=session.session_id), timeout=5
            )
            assert isinstance(await watched.read(), orchestrator_pb2.WatchSessionResponse)
            watched.cancel()


async def test_a_session_s_events_are_streamed(behind: Behind) -> None:
    async with (
        behind.client() as (session, client),
        httpx.AsyncClient(base_url=behind.url, trust_env=False, timeout=10) as http,
        http.stream("GET", f"/v1/sessions/{session.session_id}/events") as events,
    ):
        lines = events.aiter_lines()
        await answered(client, "tell me")
        async with asyncio.timeout(10):
            async for line in lines:
                if line.startswith("data:") and "tell me" in line:
                    break


async def test_no_stage_is_reached_from_outside(behind: Behind) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{behind.ports.public}") as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        warm = llm_pb2_grpc.LlmServiceStub(channel).Warm(llm_pb2.WarmRequest())
        # Nothing is written to the streams: a write that meets their end would hide its status.
        speak = tts_pb2_grpc.TtsServiceStub(channel).Synthesize()
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        for call in (health, warm, speak, reflect):
            assert await call.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_stages_port_knows_no_page_and_no_client(behind: Behind) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        inside = f"http://127.0.0.1:{behind.ports.envoy_stages}"
        assert (await http.get(f"{inside}/ready")).status_code == 200
        assert (await http.get(f"{inside}/stages")).status_code == 200
        assert (await http.get(f"{inside}/")).status_code == 404
        assert (await http.get(f"{inside}/v1/sessions")).status_code == 404
        for path in ("/ready", "/stages"):  # nor does the public port know the probes
            assert (await http.get(f"{behind.url}{path}")).status_code == 404


async def test_a_foreign_page_s_websocket_is_refused(behind: Behind) -> None:
    async with behind.client() as (session, _):
        with pytest.raises(InvalidStatus) as refused:
            await connect(session.join_url, additional_headers={"Origin": "https://evil.example"})
        assert refused.value.response.status_code == 403
        page = {"Origin": f"http://localhost:{behind.ports.public}"}
        async with connect(session.join_url, additional_headers=page):
            pass


# --- with Envoy alone: what it does with addresses, names and certificates -----------------------


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """An HTTP server that answers with the headers it got; yields its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        body = json.dumps({"line": head[0], **{key.lower(): value for key, value in pairs}})
        head_out = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write((head_out + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def named_websocket() -> AsyncIterator[str]:
    """A WebSocket server that says its address to whoever connects; yields the address."""

    async def tell(ws: ServerConnection) -> None:
        await ws.send(f"127.0.0.1:{ws.local_address[1]}")

    async with serve(tell, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_nobody_can_claim_another_address(tmp_path: Path) -> None:
    async with (
        echo() as upstream,
        envoy_alone(tmp_path, {"orchestrator_http": {upstream: 1}}) as at,
    ):
        async with httpx.AsyncClient(base_url=f"http://{at.public}", trust_env=False) as http:
            claimed = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
            seen = (await http.get("/v1/avatars?token=verysecret", headers=claimed)).json()
        assert "203.0.113.7" not in seen["x-forwarded-for"]
        assert "," not in seen["x-forwarded-for"]
        assert seen["x-forwarded-proto"] == "http"
        await asyncio.sleep(1.2)  # Envoy writes its log once a second
    log = (tmp_path / "logs" / "envoy.log").read_text()
    assert "/v1/avatars" in log
    assert "verysecret" not in log


async def test_a_join_url_may_name_the_instance_and_no_other_host(tmp_path: Path) -> None:
    async with AsyncExitStack() as running:
        one, two, stranger = [
            await running.enter_async_context(named_websocket()) for _ in range(3)
        ]
        instances = {"egress_websocket": {one: 1, two: 1}}
        at = await running.enter_async_context(envoy_alone(tmp_path, instances))

        async def reached(query: str, **headers: str) -> str:
            url = f"ws://{at.public}/v1/join{query}"
            async with connect(url, additional_headers=headers) as ws:
                return str(await ws.recv())

        for named in (one, two):
            assert {await reached(f"?at={named}") for _ in range(6)} == {named}
        tried = [f"?at={stranger}", "?at=", "", "?at=nonsense", f"?at={stranger},{one}"]
        for query in tried:
            assert await reached(query) in (one, two)
        header = {"x-stagewire-egress": stranger}
        assert await reached("", **header) in (one, two)
        assert await reached(f"?at={two}", **{"x-stagewire-egress": one}) == two


async def test_tls_is_ready_to_be_switched_on(tmp_path: Path) -> None:
    certificates = tmp_path / "tls"
    certificates.mkdir()
    self_made(certificates)
    trusted = ssl.create_default_context(cafile=str(certificates / "tls.crt"))
    async with AsyncExitStack() as running:
        page = await running.enter_async_context(echo())
        client = await running.enter_async_context(named_websocket())
        instances = {"orchestrator_http": {page: 1}, "egress_websocket": {client: 1}}
        at = await running.enter_async_context(envoy_alone(tmp_path, instances, certificates))
        address = f"localhost:{port_of(at.public_tls)}"
        async with httpx.AsyncClient(verify=trusted, trust_env=False) as http:
            seen = (await http.get(f"https://{address}/")).json()
        assert seen["x-forwarded-proto"] == "https"
        async with connect(f"wss://{address}/v1/join", ssl=trusted) as ws:
            assert await ws.recv() == client
        roots = grpc.ssl_channel_credentials((certificates / "tls.crt").read_bytes())
        async with grpc.aio.secure_channel(address, roots) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await llm_pb2_grpc.LlmServiceStub(channel).Warm(llm_pb2.WarmRequest(), timeout=5)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
