import asyncio

import pytest
from stagekit.admission import Admission
from stagekit.errors import StageError
from stagewire.common.v1 import error_pb2


def test_full_is_said_at_once_with_a_delay() -> None:
    admission = Admission(1, retry_after=2.5)
    with admission.slot(), pytest.raises(StageError) as caught, admission.slot():
        pass
    assert caught.value.reason == error_pb2.ERROR_REASON_STAGE_FULL
    assert caught.value.retry_after == 2.5
    assert admission.active == 0
    with admission.slot():
        assert admission.active == 1


def test_draining_takes_nothing_new_but_keeps_what_runs() -> None:
    admission = Admission(2)
    with admission.slot():
        admission.draining = True
        with pytest.raises(StageError) as caught, admission.slot():
            pass
        assert caught.value.reason == error_pb2.ERROR_REASON_DRAINING
        assert admission.active == 1


def test_a_slot_is_given_back_when_the_work_fails() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.slot():
        raise ZeroDivisionError
    assert admission.active == 0


async def test_idle_waits_for_the_last_one() -> None:
    admission = Admission(2)
    await asyncio.wait_for(admission.idle(), 1)
    with admission.slot():
        with admission.slot():
            waiting = asyncio.create_task(admission.idle())
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)
