"""The words of one connection: how it writes what the session says, and reads what its client says.

``native.NativeWire`` speaks docs/websocket.md; ``backend_mode.wire.BackendModeWire`` the JSON
messages of Spatius' demo clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from stagekit.errors import StageError

from stagewire_egress.websocket.downlink import Item
from stagewire_egress.websocket.frames import Close


class GoodbyeError(Exception):
    """The connection's conversation is over.

    Attributes:
        code: Why it closes; None when it stays open for another session.
        reason: The same in words.
        error: What the client did wrong, if that is why.
    """

    def __init__(self, code: Close | None, reason: str, error: StageError | None = None) -> None:
        """Ends the conversation."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.error = error


class Wire(Protocol):
    """One connection's words."""

    def hello(self, turn: int) -> Iterable[str]:
        """What is said first; ``turn`` is the one that goes on, 0 for none."""

    def encode(self, item: Item) -> Iterable[str | bytes]:
        """What is sent for something that the session says; may be nothing."""

    async def receive(self, message: str | bytes) -> None:
        """Does what the client says.

        Raises:
            StageError: The client is told; the connection goes on.
            GoodbyeError: The connection ends.
        """

    async def run(self) -> None:
        """What has to be done by the clock. Runs until cancelled."""
