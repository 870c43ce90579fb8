import asyncio

import pytest
from stagewire_llm.backends.llamacpp.slots import Slots


async def test_a_session_comes_back_to_its_slot() -> None:
    slots = Slots(3)
    taken = {name: await slots.take(name) for name in "abc"}
    for number in taken.values():
        slots.release(number)
    for name in "cab":
        assert await slots.take(name) == taken[name]


async def test_a_new_session_takes_the_slot_unused_for_longest() -> None:
    slots = Slots(2)
    first, second = await slots.take("a"), await slots.take("b")
    slots.release(second)
    slots.release(first)
    assert await slots.take("a") == first
    slots.release(first)
    assert await slots.take("c") == second


async def test_waits_for_its_own_slot_while_that_is_stopping() -> None:
    slots = Slots(2)
    number = await slots.take("a")
    slots.stopping(number)
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        waiting = group.create_task(slots.take("a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        slots.release(number)
    assert waiting.result() == number


async def test_a_second_answer_of_a_session_takes_another_slot() -> None:
    slots = Slots(2)
    assert await slots.take("a") != await slots.take("a")


async def test_waits_while_all_are_busy_and_a_cancelled_wait_takes_none() -> None:
    slots = Slots(1)
    number = await slots.take("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await slots.take("b")
    slots.release(number)
    assert await slots.take("c") == number
