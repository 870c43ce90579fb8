"""The table of services: ports, environment, models."""

import pytest
from stagekit.models import manifest
from stagewire_cli.stack import STAGES, Ports, Service, models_needed, replaced, services


def by_name(*args: object, **options: object) -> dict[str, Service]:
    return {service.name: service for service in services(*args, **options)}


def test_the_orchestrator_finds_every_stage_where_it_listens() -> None:
    ports = Ports.free()
    stack = by_name(ports, user={})
    assert list(stack) == list(STAGES)
    told = stack["orchestrator"].environment
    for stage in STAGES[:-1]:
        port = getattr(ports, stage)
        assert stack[stage].port == port
        assert stack[stage].environment[f"STAGEWIRE_{stage.upper()}_PORT"] == str(port)
        assert told[f"STAGEWIRE_ORCHESTRATOR_{stage.upper()}_TARGET"] == f"127.0.0.1:{port}"


def test_what_listens_twice_has_both_ports() -> None:
    ports = Ports.free()
    stack = by_name(ports, user={})
    assert stack["egress"].other_ports == (ports.egress_websocket, ports.egress_metrics)
    told = stack["egress"].environment
    assert told["STAGEWIRE_EGRESS_WEBSOCKET_PORT"] == str(ports.egress_websocket)
    assert told["STAGEWIRE_EGRESS_SESSION_TARGET"] == f"127.0.0.1:{ports.orchestrator}"
    http, metrics = ports.orchestrator_http, ports.orchestrator_metrics
    assert stack["orchestrator"].other_ports == (http, metrics)
    assert stack["asr"].other_ports == (ports.asr_metrics,)


def test_behind_envoy_every_call_goes_to_it_and_clients_too() -> None:
    ports = Ports.free()
    user = {"STAGEWIRE_ORCHESTRATOR_TTS_TARGET": "vendor.example:443"}
    stack = by_name(ports, envoy=True, user=user)
    inside = f"127.0.0.1:{ports.envoy_stages}"
    told = stack["orchestrator"].environment
    targets = {key: value for key, value in told.items() if key.endswith("_TARGET")}
    assert set(targets.values()) == {inside}
    assert "STAGEWIRE_ORCHESTRATOR_TTS_TARGET" not in targets, "a vendor is called directly"
    told = stack["egress"].environment
    assert told["STAGEWIRE_EGRESS_SESSION_TARGET"] == inside
    assert told["STAGEWIRE_EGRESS_PUBLIC_URL"] == f"ws://localhost:{ports.public}/v1/join"


def test_envoy_has_the_public_port_unless_there_is_none() -> None:
    assert Ports.chosen({}).orchestrator_http == Ports.chosen({}, envoy=True).public == 8080
    assert Ports.chosen({}, envoy=True).orchestrator_http == 8082
    mine = {"STAGEWIRE_ORCHESTRATOR_HTTP_PORT": "9000", "STAGEWIRE_PUBLIC_PORT": "80"}
    chosen = Ports.chosen(mine, envoy=True)
    assert (chosen.orchestrator_http, chosen.public) == (9000, 80)


def test_ports_are_the_defaults_or_the_user_s() -> None:
    assert Ports.chosen({}) == Ports()
    chosen = Ports.chosen({"STAGEWIRE_ASR_PORT": "6000", "STAGEWIRE_EGRESS_WEBSOCKET_PORT": "6001"})
    assert (chosen.asr, chosen.egress_websocket, chosen.llm) == (6000, 6001, 50052)


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1"])
def test_a_wrong_port_names_its_variable(value: str) -> None:
    with pytest.raises(SystemExit, match=f"STAGEWIRE_TTS_PORT={value}: must be a port"):
        Ports.chosen({"STAGEWIRE_TTS_PORT": value})


def test_what_the_user_has_set_stands_above_the_defaults_and_extra_above_all() -> None:
    user = {"STAGEWIRE_LLM_LLAMACPP_MODEL": "mine.gguf", "OPENBLAS_NUM_THREADS": "4"}
    told = by_name(Ports(), models="small", user=user)["llm"].environment
    assert "STAGEWIRE_LLM_LLAMACPP_MODEL" not in told  # the process inherits the user's
    assert "OPENBLAS_NUM_THREADS" not in told
    extra = {"llm": {"STAGEWIRE_LLM_LLAMACPP_MODEL": "the test's"}}
    told = by_name(Ports(), user=user, extra=extra)["llm"].environment
    assert told["STAGEWIRE_LLM_LLAMACPP_MODEL"] == "the test's"


def test_a_replaced_stage_is_neither_started_nor_fetched_for() -> None:
    user = {"STAGEWIRE_ORCHESTRATOR_LLM_TARGET": "vendor.example:443"}
    assert replaced(user) == {"llm": "vendor.example:443"}
    stack = by_name(Ports(), user=user)
    assert "llm" not in stack
    # The process inherits the user's target, and the others are still given.
    told = stack["orchestrator"].environment
    assert "STAGEWIRE_ORCHESTRATOR_LLM_TARGET" not in told
    assert "STAGEWIRE_ORCHESTRATOR_TTS_TARGET" in told
    assert "qwen2.5-1.5b" not in models_needed("default", user)


def test_another_backend_needs_no_model_of_ours() -> None:
    assert models_needed("small", {"STAGEWIRE_LLM_BACKEND": "openai"}) == [
        "whisper-base",
        "silero-vad",
        "smart-turn",
        "sphinx-en-us",
    ]


def test_the_small_set_is_small_and_runs_what_it_fetches() -> None:
    needed = models_needed("small", {})
    assert sum(manifest()[name].size for name in needed) < 600_000_000
    stack = by_name(Ports(), models="small", user={})
    assert stack["llm"].environment["STAGEWIRE_LLM_LLAMACPP_MODEL"] in needed
    assert stack["asr"].environment["STAGEWIRE_ASR_WHISPER_PARTIAL_MODEL"] == ""
