"""How many sessions or calls a service takes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stagewire.common.v1 import error_pb2

from stagekit.errors import StageError


class Admission:
    """Counts what runs; says "full" at once instead of queueing.

    Args:
        limit: How many at the same time.
        retry_after: Seconds that a refused caller is told to wait.
    """

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        """Nothing runs yet."""
        self.limit = limit
        self.active = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._retry_after = retry_after

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds one place.

        Raises:
            StageError: STAGE_FULL with a retry delay, or DRAINING.
        """
        if self.draining:
            raise StageError(
                error_pb2.ERROR_REASON_DRAINING, "this instance drains; call again", retry_after=0.1
            )
        if self.active >= self.limit:
            raise StageError(
                error_pb2.ERROR_REASON_STAGE_FULL,
                f"all {self.limit} places are taken",
                retry_after=self._retry_after,
            )
        self.active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self._idle.set()

    async def idle(self) -> None:
        """Waits until nothing runs."""
        await self._idle.wait()
