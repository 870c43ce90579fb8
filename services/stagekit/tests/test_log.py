import asyncio
import json
import logging

import pytest
from stagekit import log
from stagekit.tracing import trace_id_of


@pytest.fixture(autouse=True)
def _restore_logging() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


async def test_lines_of_a_session_name_it_and_others_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info", "text")

    async def session(name: str) -> None:
        log.session_id.set(name)
        log.trace_id.set(f"trace-{name}")
        await asyncio.sleep(0)
        logging.getLogger("stage").info("opened")

    async with asyncio.TaskGroup() as group:
        group.create_task(session("one"))
        group.create_task(session("two"))
    logging.getLogger("stage").info("idle")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("INFO stage: opened session=one trace=trace-one")
    assert lines[1].endswith("INFO stage: opened session=two trace=trace-two")
    assert lines[2].endswith("INFO stage: idle")


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    logger = logging.getLogger("stage")
    logger.info("left out")
    try:
        raise ValueError("what")
    except ValueError:
        logger.exception("failed\nin two lines")
    (line,) = capsys.readouterr().err.splitlines()
    fields = json.loads(line)
    assert fields["level"] == "error"
    assert fields["message"] == "failed\nin two lines"
    assert "ValueError: what" in fields["exception"]
    assert "session.id" not in fields


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 31 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01\n",
    ],
)
def test_what_is_no_traceparent_has_no_trace_id(traceparent: str) -> None:
    assert trace_id_of(traceparent) == ""


def test_a_peer_that_left_in_mid_send_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    from grpc._cython import cygrpc  # the class has no public name

    log.configure("info", "text")
    logger = logging.getLogger("grpc._cython.cygrpc")
    for error in (cygrpc.ExecuteBatchError("send"), ValueError("kept")):
        try:
            raise error
        except Exception:
            logger.exception("raised in core")
    shown = capsys.readouterr().err
    assert "ExecuteBatchError" not in shown
    assert "ValueError: kept" in shown
