"""The HTTP side: who may call, how much, from which pages; events as a stream; the description."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from orchestrating import orchestrator
from scripted import until
from stagekit.errors import StageError
from stagekit.settings import load
from stagewire.orchestrator.v1 import orchestrator_pb2 as pb
from stagewire_orchestrator.http import models
from stagewire_orchestrator.http.api import MAX_WATCHERS
from stagewire_orchestrator.http.auth import ApiKeys
from stagewire_orchestrator.http.openapi import description
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.tokens import ApiTokens

KEY = "a-key-of-the-caller"
ROOT = Path(__file__).parents[3]


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# --- who may call ---------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", [False, True])
async def test_callers_need_a_key(hashed: bool) -> None:
    setting = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}" if hashed else f"other, {KEY}"
    async with orchestrator(api_keys=setting) as orch:
        routes = [
            ("POST", "/v1/sessions"),
            ("GET", "/v1/sessions"),
            ("GET", "/v1/sessions/s-1"),
            ("DELETE", "/v1/sessions/s-1"),
            ("GET", "/v1/sessions/s-1/events"),
            ("POST", "/v1/sessions/s-1/interrupt"),
            ("POST", "/token"),
            ("GET", "/api/config"),
            ("POST", "/api/session"),
            ("POST", "/api/session/stop"),
        ]
        for method, path in routes:
            for headers in ({}, bearing("wrong"), {"Authorization": f"Basic {KEY}"}):
                answer = await orch.http.request(method, path, json={}, headers=headers)
                assert answer.status_code == 401, (method, path, headers)
                assert answer.json()["error"]["reason"] == "UNAUTHENTICATED"
                assert answer.headers["www-authenticate"] == "Bearer"
        assert (await orch.http.get("/v1/sessions", headers=bearing(KEY))).status_code == 200
        for probe in ("/healthz", "/health", "/openapi.json"):
            assert (await orch.http.get(probe)).status_code == 200


async def test_a_clients_token_is_for_its_own_session_and_nothing_else() -> None:
    async with orchestrator(api_keys=KEY) as orch:
        mine, other = [
            (await orch.http.post("/v1/sessions", json={}, headers=bearing(KEY))).json()
            for _ in range(2)
        ]
        own = f"/v1/sessions/{mine['session']['session_id']}"
        token = bearing(mine["api_token"])
        said = await orch.http.post(f"{own}/text", json={"text": "hello"}, headers=token)
        assert said.status_code == 200
        assert (await orch.http.post(f"{own}/interrupt", headers=token)).status_code == 200
        assert (await orch.http.get(own, headers=token)).status_code == 200
        not_mine = f"/v1/sessions/{other['session']['session_id']}"
        for method, path in [
            ("GET", not_mine),
            ("DELETE", not_mine),
            ("GET", f"{not_mine}/events"),
            ("POST", f"{not_mine}/interrupt"),
            ("GET", "/v1/sessions"),
            ("POST", "/v1/sessions"),
            ("POST", "/token"),
        ]:
            answer = await orch.http.request(method, path, json={}, headers=token)
            assert answer.status_code == 403, (method, path)
        assert (await orch.http.delete(own, headers=token)).status_code == 200


async def test_tokens_expire_and_cannot_be_made_elsewhere() -> None:
    now = [1000.0]
    tokens = ApiTokens(60.0, clock=lambda: now[0])
    token, expires = tokens.mint("s-1")
    assert expires.seconds == 1060
    assert tokens.session_of(token) == "s-1"
    for foreign in (ApiTokens(60.0, clock=lambda: now[0]).mint("s-1")[0], "", "x.y.z", token[:-4]):
        with pytest.raises(StageError, match="neither"):
            tokens.session_of(foreign)
    now[0] = 1060.0
    with pytest.raises(StageError, match="expired"):
        tokens.session_of(token)


async def test_drop_in_routes_can_be_left_open_beside_keys() -> None:
    async with orchestrator(api_keys=KEY, open_drop_in=True) as orch:
        assert (await orch.http.get("/api/config")).status_code == 200
        assert (await orch.http.get("/v1/sessions")).status_code == 401


def test_keys_from_a_file(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"hashed").hexdigest()
    (tmp_path / "keys").write_text(f"# ours\nplain\n\nsha256:{digest}\n")
    keys = ApiKeys(f"@{tmp_path}/keys, given")
    assert keys.required
    assert all(keys.match(key) for key in ("plain", "hashed", "given"))
    assert not any(keys.match(key) for key in ("", "# ours", digest, f"sha256:{digest}"))
    assert not ApiKeys("").required
    for wrong in ("sha256:abc", f"@{tmp_path}/nothing", ","):
        with pytest.raises(SystemExit, match="API_KEYS"):
            ApiKeys(wrong)


@pytest.mark.parametrize(
    ("variables", "serves"),
    [
        ({}, True),
        ({"HTTP_HOST": "::1"}, True),
        ({"HTTP_HOST": "localhost"}, True),
        ({"HTTP_HOST": "0.0.0.0"}, False),
        ({"HTTP_HOST": "0.0.0.0", "API_KEYS": KEY}, True),
        ({"HTTP_HOST": "10.0.0.1", "ALLOW_ANONYMOUS": "true"}, True),
        ({"LIVEKIT_URL": "ws://127.0.0.1:7880"}, False),
        ({"LIVEKIT_URL": "https://x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}, False),
    ],
)
def test_an_open_api_is_served_to_this_machine_alone(
    variables: dict[str, str],
    serves: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"STAGEWIRE_ORCHESTRATOR_{name}", value)
    if serves:
        load(OrchestratorSettings)
        return
    with pytest.raises(SystemExit):
        load(OrchestratorSettings)
    told = capsys.readouterr().err
    assert "API_KEYS" in told or "LIVEKIT" in told
    assert KEY not in told


# --- how much, and from where ---------------------------------------------------------------


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    async with orchestrator(api_keys=KEY, requests_per_minute=60) as orch:
        statuses = [(await orch.http.get("/v1/sessions")).status_code for _ in range(10)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        refused = await orch.http.get("/v1/sessions")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "RESOURCE_EXHAUSTED"
        assert (await orch.http.get("/v1/sessions", headers=bearing(KEY))).status_code == 200
        assert (await orch.http.get("/healthz")).status_code == 200


async def test_a_post_without_a_body_needs_no_length() -> None:
    async with orchestrator() as orch:
        request = orch.http.build_request("POST", "/v1/sessions/s-1/interrupt")
        request.headers.pop("content-length", None)
        assert (await orch.http.send(request)).status_code == 404


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3003", True),
        ("https://127.0.0.1", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
async def test_pages_of_other_origins_cannot_call(origin: str, allowed: bool) -> None:
    async with orchestrator(requests_per_minute=60) as orch:
        headers = {"Origin": origin}
        asking = {
            **headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        answer = await orch.http.options("/v1/sessions", headers=asking)
        assert (answer.status_code == 200) == allowed
        for _ in range(10):
            refused = await orch.http.get("/v1/sessions", headers=headers)
        assert refused.status_code == 429
        assert (refused.headers.get("access-control-allow-origin") == origin) == allowed


async def test_the_operator_says_which_pages_may_call() -> None:
    async with orchestrator(cors_origins="https://*.example.com") as orch:
        for origin, allowed in (("https://a.example.com", True), ("http://localhost:1", False)):
            answer = await orch.http.get("/healthz", headers={"Origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) == allowed


# --- text, interrupt, events ----------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "   ", "x" * 4_001, None, 7])
async def test_text_that_is_none_is_refused_and_not_repeated(text: Any) -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create())["session"]["session_id"]
        answer = await orch.http.post(f"/v1/sessions/{session_id}/text", json={"text": text})
        assert answer.status_code == 422
        assert answer.json()["error"]["message"].startswith("body.text: ")
        assert "xxx" not in answer.text


async def read_events(
    http: httpx.AsyncClient, path: str, until_event: str = "session_ended", **headers: str
) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, event, data) up to the first of a kind."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    async with asyncio.timeout(10), http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            if "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                if fields["event"] == until_event:
                    break
            fields = {}
    return found


async def test_events_come_as_a_stream_that_can_be_taken_up_again() -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create("echo"))["session"]["session_id"]
        path = f"/v1/sessions/{session_id}/events"
        first = await read_events(orch.http, path, "turn_summary")
        assert first[0][0] == "1"
        assert first[-1][2]["turn_summary"]["text"] == "Hello there."
        await orch.http.post(f"/v1/sessions/{session_id}/text", json={"text": "four"})
        seen = first[-1][0]
        more = await read_events(orch.http, path, "turn_summary", **{"Last-Event-ID": seen})
        assert [int(event[0]) for event in more] == [
            int(seen) + 1 + index for index in range(len(more))
        ]
        await orch.http.delete(f"/v1/sessions/{session_id}")
        rest = await read_events(orch.http, path, **{"Last-Event-ID": more[-1][0]})
        assert rest[-1][1] == "session_ended"
        # Whoever has seen the last event is told at once that there are no more.
        assert await read_events(orch.http, path, **{"Last-Event-ID": rest[-1][0]}) == []


async def test_event_streams_are_checked_before_they_begin_and_counted() -> None:
    async with orchestrator() as orch:
        session_id = (await orch.create())["session"]["session_id"]
        path = f"/v1/sessions/{session_id}/events"
        assert (await orch.http.get("/v1/sessions/s-0/events")).status_code == 404
        for odd in ("x", "-1", "1.5", "9" * 30):
            answer = await orch.http.get(path, headers={"Last-Event-ID": odd})
            assert answer.status_code == 400
        async with asyncio.TaskGroup() as tasks:
            watching = [
                tasks.create_task(read_events(orch.http, path)) for _ in range(MAX_WATCHERS)
            ]
            refused = await _until_refused(orch.http, path)
            assert refused.headers["retry-after"]
            watching.pop().cancel()
            await until_watched(orch.http, path)
            await orch.http.delete(f"/v1/sessions/{session_id}")


async def _until_refused(http: httpx.AsyncClient, path: str) -> httpx.Response:
    async with asyncio.timeout(10):
        while True:
            async with http.stream("GET", path) as answer:
                if answer.status_code == 429:
                    return answer
            await asyncio.sleep(0.02)


async def until_watched(http: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(10):
        while True:
            async with http.stream("GET", path) as answer:
                if answer.status_code == 200:
                    return
            await asyncio.sleep(0.02)


async def test_a_client_that_comes_back_goes_on_and_one_that_does_not_ends_its_session() -> None:
    async with orchestrator(leave_grace=0.5) as orch:
        session_id = (await orch.create())["session"]["session_id"]
        session = orch.sessions.get
        egress = orch.stages.egress
        egress.participants.put_nowait("LEFT")
        await asyncio.sleep(0.2)
        egress.participants.put_nowait("RETURNED")
        await asyncio.sleep(0.6)
        assert session(session_id).state == pb.SESSION_STATE_ACTIVE
        egress.participants.put_nowait("LEFT")
        await until(lambda: session(session_id).state == pb.SESSION_STATE_ENDED)
        assert "did not come back" in session(session_id).end_reason


# --- the description ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (models.Session, pb.Session),
        (models.Created, pb.CreateSessionResponse),
        (models.One, pb.GetSessionResponse),
        (models.Many, pb.ListSessionsResponse),
        (models.SendText, pb.SendTextRequest),
        (models.CreateSession, pb.CreateSessionRequest),
    ],
)
def test_the_models_are_the_contracts_messages(model: Any, message: Any) -> None:
    # What is in the path, in a header, or only between services.
    elsewhere = {"idempotency_key", "egress_target"}
    if model is models.SendText:
        elsewhere |= {"session_id"}
    fields = {field.name for field in message.DESCRIPTOR.fields}
    assert set(model.model_fields) == fields - elsewhere


def test_the_committed_description_is_the_codes() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8"))
    assert committed == description(), (
        "write it anew: python -m stagewire_orchestrator.http.openapi > docs/openapi.json"
    )


def test_the_description_names_who_may_call_what_is_answered_and_what_can_go_wrong() -> None:
    described = description()
    assert set(described["components"]["securitySchemes"]) == {"ApiKey", "SessionToken"}
    for path, operations in described["paths"].items():
        if not path.startswith("/v1/sessions"):
            continue
        for operation in operations.values():
            assert operation["security"], path
            assert operation["summary"]
            for status, answer in operation["responses"].items():
                schema = next(iter(answer.get("content", {}).values()), {})
                assert status < "400" or schema["schema"]["$ref"].endswith("/Problem"), path
