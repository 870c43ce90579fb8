"""Real conversations whose motion comes from a Motion Server through the vendor's own SDK.

The avatar ``mirror`` has a motion_bridge of its own, with the spatius backend; everything else is
the default stack.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stagewire_cli.conversation import Conversation, Question
from stagewire_cli.recorder import Recorder
from support.motion_server import MotionServer
from support.processes import Service
from support.stack import Stack, spoken, typed

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]


def motion_of(folder: Path, turn: int) -> list[dict[str, list[float]]]:
    """The keyframes of a turn, as ``stagewire talk`` records them."""
    lines = map(json.loads, (folder / "motion.jsonl").read_text().splitlines())
    return [frame for line in lines if line["turn"] == turn for frame in line["frames"]]


async def test_every_turn_has_voice_and_motion_together(
    stack: Stack, bridge: Service, tmp_path: Path
) -> None:
    async with stack.client("mirror") as (_, client):
        assert client.joined.motion_codec == "spatius.message"
        with Recorder(tmp_path, client.joined) as recorder:
            conversation = Conversation(client, print, recorder)
            await conversation.run(
                [spoken("go-forward"), spoken("go-somewhere"), typed("Say one short sentence.")],
                None,
            )
    turns = [turn for turn in conversation.transcript.turns.values() if turn.asked]
    assert [turn.reason for turn in turns] == ["COMPLETED"] * 3
    for turn in turns:
        voice = b"".join(h.pcm for h in conversation.speaker.heard if h.turn == turn.number)
        seconds = len(voice) / 2 / client.joined.voice_hertz
        shown = motion_of(tmp_path, turn.number)
        assert abs(len(shown) / 25 - seconds) < 0.081, f"turn {turn.number}"
        jaw = [keyframe["jaw_pose"][0] for keyframe in shown]
        assert max(jaw) > 2 * min(jaw) > 0, "the mouth moves"


class RestartedInMidTurn(list[Question]):
    """A long question, then another; the Motion Server goes and comes while the answer sounds."""

    def __init__(self, server: MotionServer, conversation: Conversation) -> None:
        super().__init__([typed("Tell me a long story about the sea."), typed("Say one word.")])
        self._server, self._conversation = server, conversation

    def __iter__(self) -> Iterator[Question]:
        first, second = self[0], self[1]
        asyncio.get_running_loop().create_task(self._restart())
        yield first
        yield second

    async def _restart(self) -> None:
        turns = self._conversation.transcript.turns
        while not any(turn.asked and turn.first_motion_at for turn in turns.values()):
            await asyncio.sleep(0.01)
        self._server.kill()
        await asyncio.sleep(0.3)
        self._server.start()


async def test_a_motion_server_restarted_in_mid_turn_costs_lips_not_the_conversation(
    stack: Stack, motion_server: MotionServer, bridge: Service, tmp_path: Path
) -> None:
    async with stack.client("mirror") as (_, client):
        with Recorder(tmp_path, client.joined) as recorder:
            conversation = Conversation(client, print, recorder)
            await conversation.run(RestartedInMidTurn(motion_server, conversation), None)
    turns = [turn for turn in conversation.transcript.turns.values() if turn.asked]
    assert [turn.reason for turn in turns] == ["COMPLETED"] * 2
    assert conversation.unanswered == 0
    assert motion_of(tmp_path, turns[-1].number), "the next turn has its lips"
    gaps = re.findall(r"motion is back after ([\d.]+) s", bridge.log())
    print(f"without motion for {gaps} s in a turn")
