import asyncio
from collections.abc import Iterable

import pytest
from stagekit.errors import StageError
from stagekit.outbox import Outbox
from stagewire.common.v1 import error_pb2


async def drained(outbox: Outbox[str]) -> list[str]:
    await outbox.close()
    return [message async for message in outbox]


async def filled(outbox: Outbox[str], messages: Iterable[str]) -> None:
    for message in messages:
        await outbox.put(message)


async def test_keeps_media_in_order() -> None:
    outbox: Outbox[str] = Outbox(3)
    await filled(outbox, "abc")
    assert await drained(outbox) == ["a", "b", "c"]


async def test_control_overtakes_all_queued_media_in_its_own_order() -> None:
    outbox: Outbox[str] = Outbox(3)
    await filled(outbox, "abc")
    await outbox.put_control("stop")
    await outbox.put_control("end")
    assert await drained(outbox) == ["stop", "end", "a", "b", "c"]


async def test_control_never_waits_for_room() -> None:
    outbox: Outbox[str] = Outbox(1)
    await outbox.put("a")
    async with asyncio.timeout(1):
        await outbox.put_control("stop")


async def test_media_waits_for_room_and_goes_on_when_there_is_some() -> None:
    outbox: Outbox[str] = Outbox(2)
    await filled(outbox, "ab")
    waiting = asyncio.create_task(outbox.put("c"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    reader = aiter(outbox)
    assert await anext(reader) == "a"
    await asyncio.wait_for(waiting, 1)
    assert await drained(outbox) == ["b", "c"]


async def test_a_peer_that_reads_nothing_ends_the_wait() -> None:
    outbox: Outbox[str] = Outbox(1, stall_seconds=0.01)
    await outbox.put("a")
    with pytest.raises(StageError) as caught:
        await outbox.put("b")
    assert caught.value.reason == error_pb2.ERROR_REASON_PEER_TOO_SLOW
    assert await drained(outbox) == ["a"]


async def test_control_that_piles_up_is_refused() -> None:
    outbox: Outbox[str] = Outbox(2)
    await outbox.put_control("1")
    await outbox.put_control("2")
    with pytest.raises(StageError, match="2 control messages"):
        await outbox.put_control("3")


async def test_discard_forgets_media_only_and_makes_room() -> None:
    outbox: Outbox[str] = Outbox(2)
    await filled(outbox, ["old 1", "new 1"])
    await outbox.put_control("old control")
    waiting = asyncio.create_task(outbox.put("new 2"))
    await asyncio.sleep(0)
    await outbox.discard(lambda message: message.startswith("old"))
    await asyncio.wait_for(waiting, 1)
    assert await drained(outbox) == ["old control", "new 1", "new 2"]


async def test_reader_wakes_for_a_message_and_for_the_end() -> None:
    outbox: Outbox[str] = Outbox(2)

    async def read() -> list[str]:
        return [message async for message in outbox]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    await outbox.put("a")
    await asyncio.sleep(0.01)
    assert not reading.done()
    await outbox.close()
    assert await asyncio.wait_for(reading, 1) == ["a"]


async def test_cancelled_put_leaves_the_queue_usable() -> None:
    outbox: Outbox[str] = Outbox(1)
    await outbox.put("a")
    waiting = asyncio.create_task(outbox.put("b"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await drained(outbox) == ["a"]
