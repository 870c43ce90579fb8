"""Keeps the books of a stream with turns: what was asked for, and whether the answers fit it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from contract.stage import TurnStage, hum
from stagewire.common.v1.turn_pb2 import TurnEndReason

_VOICE = {size: hum(size) for size in (320, 800, 960, 1600)}


class Ledger:
    """Legal commands in random order, and the check of every answer to them.

    Args:
        stage: Whose commands are made.
        seed: Makes the order repeatable.
    """

    def __init__(self, stage: TurnStage, seed: int) -> None:
        self.started: list[int] = []
        self.ended: dict[int, str] = {}
        self.sent_samples: dict[int, int] = {}
        self.shown_until: dict[int, int] = {}
        self._stage = stage
        self._random = random.Random(seed)
        self._media_over: set[int] = set()
        self._interrupted: set[int] = set()

    # --- what is sent ---

    def commands(self, turns: int) -> Iterator[Any]:
        """Commands for ``turns`` turns; the last one is interrupted."""
        for _ in range(turns):
            turn = (self.started[-1] if self.started else 0) + self._random.choice([1, 1, 1, 4])
            self.started.append(turn)
            self.sent_samples[turn] = 0
            yield self._stage.turn_start(turn)
            for _ in range(self._random.randrange(12)):
                yield self._some_command(turn)
        yield self._interrupt(turn)

    def _some_command(self, turn: int) -> Any:
        choice = self._random.random()
        if choice < 0.70:
            return self._voice(turn)
        if choice < 0.80:
            self._media_over.add(turn)
            return self._stage.end(turn)
        if choice < 0.88:
            return self._interrupt(turn)
        old = self._random.choice(self.started[:-1] or [turn])  # late, and to be ignored
        return self._random.choice([self._interrupt, self._late_voice])(old)

    def _voice(self, turn: int) -> Any:
        if turn in self._media_over:  # more voice after the end would break the contract
            return self._interrupt(turn)
        data = self._random.choice(list(_VOICE.values()))
        start = self.sent_samples[turn]
        self.sent_samples[turn] += len(data) // 2
        return self._stage.audio(data, start, turn)

    def _late_voice(self, turn: int) -> Any:
        if turn == self.started[-1]:
            return self._voice(turn)
        return self._stage.audio(_VOICE[320], self.sent_samples[turn], turn)

    def _interrupt(self, turn: int) -> Any:
        self._interrupted.add(turn)
        return self._stage.interrupt(turn)

    # --- what comes back ---

    def check(self, message: Any) -> None:
        """Checks one answer against the contract."""
        arm = message.WhichOneof("message")
        if arm == "turn_ended":
            self._check_end(message.turn_ended)
            return
        body = getattr(message, arm)
        turn = getattr(body, "turn", 0)
        assert turn not in self.ended, f"`{arm}` of turn {turn} after its turn_ended"
        if arm == "motion":
            assert turn in self.started
            assert body.payload
            assert body.start_sample == self.shown_until.get(turn, 0), "motion is contiguous"
            assert body.end_sample >= body.start_sample
            self.shown_until[turn] = body.end_sample

    def _check_end(self, ended: Any) -> None:
        turn, reason = ended.turn, TurnEndReason.Name(ended.reason).removeprefix("TURN_END_REASON_")
        assert turn in self.started, f"turn {turn} ended and was never started"
        assert turn not in self.ended, f"turn {turn} ended twice"
        self.ended[turn] = reason
        possible = {
            "COMPLETED": turn in self._media_over,
            "INTERRUPTED": turn in self._interrupted,
            "SUPERSEDED": turn != self.started[-1],
        }
        assert possible.get(reason, False), f"turn {turn} ended {reason} without a cause"
        older = [start for start in self.started if start < turn]
        assert all(start in self.ended for start in older), "turns end in order"
