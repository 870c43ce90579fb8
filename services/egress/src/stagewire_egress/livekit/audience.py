"""Whether anybody hears: users in the room, a connection to it, a subscription to the voice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from contextlib import suppress

from stagewire.egress.v1 import egress_pb2

from stagewire_egress.delivery import Uplink

_ACTIVE_SECONDS, _SUBSCRIBE_SECONDS = 2.0, 0.3
"""How long the voice waits for a user's client: to take data, then to subscribe to the voice.
Without the wait a greeting begins in the 0.1 to 0.2 s that this takes, and loses its first word.
The server tells only of the first subscription, so the second wait is short."""


class Audience:
    """Tells the session when users come, go and come back, and the voice when it is heard.

    The session sees one client: it joined with the first user, leaves with the last.

    Args:
        uplink: Told of comings and goings.
        heard: Told whether the voice is heard.
    """

    def __init__(self, uplink: Uplink, heard: Callable[[bool], None]) -> None:
        """Nobody is there."""
        self._uplink = uplink
        self._heard = heard
        self._users: list[str] = []
        self._connected = True
        self._seen = False
        self._last = ""
        self._active = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._news = asyncio.Event()

    def came(self, identity: str) -> None:
        """A user is in the room."""
        if identity not in self._users:
            self._users.append(identity)
        self._news.set()

    def went(self, identity: str) -> None:
        """A user left."""
        if identity in self._users:
            self._users.remove(identity)
        if not self._users:
            self._forget()
        self._news.set()

    def keep(self, there: Container[str]) -> None:
        """Forgets users who are not there any more."""
        for identity in list(self._users):
            if identity not in there:
                self.went(identity)

    def active(self) -> None:
        """A user's client takes data."""
        self._active.set()

    def subscribed(self) -> None:
        """Somebody hears the voice's track."""
        self._subscribed.set()

    def connection(self, connected: bool) -> None:
        """The connection to the room broke, or is there again."""
        self._connected = connected
        if not connected:
            self._heard(False)
            self._forget()
        self._news.set()

    async def run(self) -> None:
        """Tells. Runs until cancelled."""
        present = False
        while True:
            await self._news.wait()
            self._news.clear()
            if (self._connected and bool(self._users)) == present:
                continue
            present = not present
            if present:
                await self._arrive()
            else:
                self._heard(False)
                await self._uplink.participant(egress_pb2.Participant.CHANGE_LEFT, self._last)

    async def _arrive(self) -> None:
        change = (
            egress_pb2.Participant.CHANGE_RETURNED
            if self._seen
            else egress_pb2.Participant.CHANGE_JOINED
        )
        self._seen, self._last = True, self._users[0]
        await self._uplink.participant(change, self._last)
        for event, seconds in (
            (self._active, _ACTIVE_SECONDS),
            (self._subscribed, _SUBSCRIBE_SECONDS),
        ):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await event.wait()
        self._heard(self._connected and bool(self._users))

    def _forget(self) -> None:
        self._active.clear()
        self._subscribed.clear()
