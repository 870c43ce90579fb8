"""Connections to the stages: one for each target, shared by all sessions."""

from __future__ import annotations

import grpc
from stagekit.channel import connect

from stagewire_orchestrator.avatars import Avatar
from stagewire_orchestrator.settings import OrchestratorSettings


class Channels:
    """Opens one channel for each target and keeps it.

    Args:
        settings: The deployment's targets.
    """

    def __init__(self, settings: OrchestratorSettings) -> None:
        """No channel is open yet."""
        self._settings = settings
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, avatar: Avatar, stage: str) -> grpc.aio.Channel:
        """The channel to ``stage`` for this avatar."""
        target = self.target(avatar, stage)
        if target not in self._channels:
            self._channels[target] = connect(target)
        return self._channels[target]

    def target(self, avatar: Avatar, stage: str) -> str:
        """Where ``stage`` is for this avatar: its own choice, or the deployment's."""
        chosen: str = getattr(avatar.stages, stage) or getattr(self._settings, f"{stage}_target")
        return chosen

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()
