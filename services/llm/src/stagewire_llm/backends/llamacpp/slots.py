"""Which session's prompt lies in which slot of the model, and who may use it now.

A session goes back to the slot that holds its conversation, so that only what is new must be
evaluated; a session without one takes the slot that was unused for the longest time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass
class _Slot:
    number: int
    session: str = ""
    busy: bool = False
    stopping: bool = False
    used: int = 0


class Slots:
    """The slots of one model. For one event loop.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int) -> None:
        """All are free and belong to nobody."""
        self._slots = [_Slot(number) for number in range(count)]
        self._uses = 0
        self._changed = asyncio.Event()

    async def take(self, session: str) -> int:
        """Takes a slot for ``session``; waits while there is none."""
        while (slot := self._choose(session)) is None:
            self._changed.clear()
            await self._changed.wait()
        self._uses += 1
        slot.session, slot.busy, slot.used = session, True, self._uses
        return slot.number

    def stopping(self, number: int) -> None:
        """Says that what runs in a slot was cancelled and will soon be gone."""
        self._slots[number].stopping = self._slots[number].busy

    def release(self, number: int) -> None:
        """Frees a slot; it keeps the session's prompt."""
        slot = self._slots[number]
        slot.busy = slot.stopping = False
        self._changed.set()

    async def idle(self) -> None:
        """Waits until no slot is in use."""
        while any(slot.busy for slot in self._slots):
            self._changed.clear()
            await self._changed.wait()

    def _choose(self, session: str) -> _Slot | None:
        own = [slot for slot in self._slots if slot.session == session]
        for slot in own:
            if not slot.busy:
                return slot
        if any(slot.stopping for slot in own):
            return None  # Waiting for at most one step is better than a prompt from its beginning.
        return min((s for s in self._slots if not s.busy), key=lambda s: s.used, default=None)
