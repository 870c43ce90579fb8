"""What of each turn has been played: turns as a state machine without I/O, time as an argument.

A turn begins with ``start`` and has exactly one end:

========================  ==========================================================================
completed                 the orchestrator sent its end and the client confirmed every sample
interrupted               it was cut; the client then has ``FAREWELL_SECONDS`` for a last report, a
                          motion engine that plays by itself ``ENGINE_FAREWELL_SECONDS``
superseded                a newer turn began
deadline                  the client confirmed nothing for the rest of the audio + patience
failed                    the client stayed away too long, or a motion engine stopped before the end
========================  ==========================================================================

While nobody has joined yet, turns wait. Positions are only ever what the client confirmed. Every
method that takes ``now`` (seconds of one monotonic clock) returns the messages to send.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import duration_pb2
from stagekit.errors import StageError
from stagekit.streams import MAX_AUDIO_BYTES, AudioTrack, TurnFence
from stagewire.common.v1 import error_pb2, timing_pb2, turn_pb2
from stagewire.egress.v1 import egress_pb2

FAREWELL_SECONDS = 0.25
ENGINE_FAREWELL_SECONDS = 2.0
"""The report of a motion engine comes from farther away; LiveKit's agents wait as long for it."""
PATIENCE_SECONDS = 5.0
_EARLY_SECONDS = 0.5
"""How long an engine's report of an interruption waits for the orchestrator's own word of it."""
_ENGINE_SLACK_SECONDS = 0.5
"""How far an engine's position may be off: it counts at a rate and in frames of its own."""

Report = egress_pb2.Playback | egress_pb2.TurnEnded
_INVALID = error_pb2.ERROR_REASON_INVALID_FIELD


@dataclass
class _Turn:
    """One turn; positions in samples from its start, times in seconds.

    Attributes:
        number: Its number.
        track: The audio taken so far; ``track.next_sample`` is its length.
        waiting_since: When the client last confirmed something or was last given cause to.
        sent: How far audio has been handed to a client.
        played: How far the client has confirmed it.
        whole: The orchestrator sent its end.
        cut_at: When it was interrupted, or None.
        first_audio: When its first audio arrived, or None.
        first_sent: When the first audio was handed to the client, or a motion engine began to play
            it; or None.
        client_buffer: Seconds for which the client held it back, by its own clock; None until told.
    """

    number: int
    track: AudioTrack
    waiting_since: float
    sent: int = 0
    played: int = 0
    whole: bool = False
    cut_at: float | None = None
    first_audio: float | None = None
    first_sent: float | None = None
    client_buffer: float | None = None
    motion_sample: int = 0

    @property
    def length(self) -> int:
        """Samples of voice taken."""
        return self.track.next_sample or 0

    def timing(self, now: float) -> timing_pb2.StageTiming:
        """What was measured up to now."""
        timing = timing_pb2.StageTiming()
        if self.first_audio is not None:
            timing.since_trigger.CopyFrom(_duration(now - self.first_audio))
            if self.first_sent is not None:
                timing.queue_wait.CopyFrom(_duration(self.first_sent - self.first_audio))
                timing.compute_to_first_output.CopyFrom(_duration(0.0))  # nothing is computed
        return timing


class Playout:
    """The turns of one session.

    Args:
        rate: The voice's sample rate, in hertz.
        return_seconds: How long an open turn waits for a client that has gone.
        engine: A motion engine plays by itself, and tells where a turn ended and nothing before.
    """

    def __init__(self, rate: int, return_seconds: float, engine: bool = False) -> None:
        """No turn, and no client yet."""
        self._rate = rate
        self._return_seconds = return_seconds
        self._engine = engine
        self._farewell_seconds = ENGINE_FAREWELL_SECONDS if engine else FAREWELL_SECONDS
        self._fence = TurnFence()
        self._turns: dict[int, _Turn] = {}  # the open one, and those that wait for a last report
        self._present = False
        self._gone_at: float | None = None
        self._early: tuple[int, int, float] | None = None  # turn, samples, when it came

    @property
    def open_turn(self) -> int:
        """The number of the turn that takes media or plays; 0 for none."""
        number = self._fence.current
        turn = self._turns.get(number)
        return number if turn is not None and turn.cut_at is None else 0

    def start(self, number: int, now: float) -> list[Report]:
        """Begins a turn.

        Raises:
            StageError: INVALID_FIELD when the number does not grow.
        """
        superseded = self._fence.start(number)
        self._turns[number] = _Turn(number, AudioTrack(), waiting_since=now)
        if superseded is None:
            return []
        return self._end(self._turns[superseded], turn_pb2.TURN_END_REASON_SUPERSEDED, now)

    def audio(self, message: egress_pb2.TurnAudio, now: float) -> bool:
        """Takes voice; False when its turn is over.

        Raises:
            StageError: For a turn never started, or audio that does not continue the turn.
        """
        if not self._fence.admits(message):
            return False
        turn = self._turns[message.turn]
        self._check_not_whole(turn)
        if turn.played == turn.length:
            turn.waiting_since = now
        turn.track.accept(message.audio)
        if turn.first_audio is None:
            turn.first_audio = now
        return True

    def motion(self, message: egress_pb2.TurnMotion) -> bool:
        """Takes motion; False when its turn is over.

        Raises:
            StageError: For a turn never started, or motion that is empty or out of order.
        """
        if not self._fence.admits(message):
            return False
        turn = self._turns[message.turn]
        self._check_not_whole(turn)
        if len(message.payload) > MAX_AUDIO_BYTES:
            raise StageError(
                error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE,
                f"motion of {len(message.payload)} bytes; at most {MAX_AUDIO_BYTES} are taken",
            )
        begin, end = message.start_sample, message.end_sample
        if not message.payload or not turn.motion_sample <= begin <= end < begin + (1 << 32):
            raise StageError(
                _INVALID,
                f"motion of {len(message.payload)} bytes for samples {begin} to {end} after "
                f"{turn.motion_sample}: it must be neither empty nor go back",
            )
        turn.motion_sample = begin
        return True

    def words(self, message: egress_pb2.TurnWords) -> bool:
        """Takes words; False when their turn is over.

        Raises:
            StageError: For a turn never started.
        """
        return self._fence.admits(message)

    def finish(self, message: egress_pb2.EndOfTurn, now: float) -> list[Report] | None:
        """No more media follows; None when the turn is over.

        Raises:
            StageError: For a turn never started, or one finished before.
        """
        if not self._fence.admits(message):
            return None
        turn = self._turns[message.turn]
        self._check_not_whole(turn)
        turn.whole = True
        if self._engine:
            turn.waiting_since = now  # where in the turn it is nobody knows
        return self._completed(turn, now)

    def length(self, number: int) -> int:
        """Samples of voice taken for a turn that has not ended."""
        return self._turns[number].length

    def interrupt(self, message: egress_pb2.Interrupt, now: float) -> list[Report] | None:
        """Cuts a turn; None when it is over, or not known: only the stream before this had it."""
        if message.turn == 0 or message.turn != self.open_turn:
            return None
        turn = self._turns[message.turn]
        self._fence.end(turn.number)
        turn.cut_at = now
        if not self._reporter_there or turn.played == turn.sent:  # nothing more will be told
            return self._end(turn, turn_pb2.TURN_END_REASON_INTERRUPTED, now)
        early, self._early = self._early, None
        if early is None:
            return []
        number, samples, at = early
        if number != turn.number or now - at > _EARLY_SECONDS:
            return []
        return self.finished(samples, interrupted=True, now=now)

    def handed_over(self, number: int, end_sample: int, now: float) -> None:
        """Voice up to ``end_sample`` was given to the client's connection."""
        turn = self._turns.get(number)
        if turn is not None:
            turn.sent = max(turn.sent, end_sample)
            if turn.first_sent is None and not self._engine:
                turn.first_sent = now

    def report(
        self,
        number: int,
        samples: int,
        stopped: bool,
        now: float,
        client_buffer: float | None = None,
    ) -> list[Report]:
        """The client says how far it has played; ``stopped`` when it will play no further.

        ``client_buffer``: seconds from the first voice's arrival there to its sounding, if told.

        Raises:
            StageError: INVALID_FIELD when the position cannot be true.
        """
        turn = self._turns.get(number)
        if turn is None:
            if 1 <= number <= self._fence.current:
                return []  # on its way while the turn ended
            raise StageError(_INVALID, f"playback of turn {number}, which was not started")
        if not turn.played <= samples <= turn.sent:
            raise StageError(
                _INVALID,
                f"playback of turn {number} at sample {samples}; confirmed is {turn.played} and "
                f"sent is {turn.sent}",
            )
        if client_buffer is not None:
            turn.client_buffer = client_buffer
        first, advanced = not turn.played, samples > turn.played
        if advanced:
            turn.played, turn.waiting_since = samples, now
        if turn.cut_at is not None:
            if stopped or samples == turn.sent:
                return self._end(turn, turn_pb2.TURN_END_REASON_INTERRUPTED, now)
            return []
        reports: list[Report] = []
        if advanced:
            playback = egress_pb2.Playback(turn=number, played_samples=samples)
            if turn.client_buffer is not None:
                playback.client_buffer.CopyFrom(_duration(turn.client_buffer))
            if first:
                playback.timing.CopyFrom(turn.timing(now))
            reports.append(playback)
        return reports + self._completed(turn, now)

    def began(self, now: float) -> list[Report]:
        """A motion engine says that it plays: the open turn, if that has a voice."""
        turn = self._turns.get(self.open_turn)
        if turn is None or not turn.sent or turn.first_sent is not None:
            return []
        turn.first_sent = now
        return [egress_pb2.Playback(turn=turn.number, timing=turn.timing(now))]

    def finished(self, samples: int, interrupted: bool, now: float) -> list[Report]:
        """A motion engine says that it will play no more of a turn, and where it ended.

        The report names no turn. An interrupted one is of the oldest turn that was cut, any other
        of the oldest that is whole: no engine ends what it was not given the end of. The engine may
        have heard of an interruption sooner than we; its report then waits for ours a little.

        Raises:
            StageError: INVALID_FIELD when there is no such turn, or the position cannot be true.
        """
        for number in sorted(self._turns):
            turn = self._turns[number]
            if turn.cut_at is not None if interrupted else turn.whole:
                break
        else:
            playing = self._turns.get(self.open_turn)
            if not interrupted or playing is None or playing.first_sent is None:
                state = "was interrupted" if interrupted else "can have come to its end"
                raise StageError(_INVALID, f"no turn that is not over yet {state}")
            turn = playing
        slack = round(_ENGINE_SLACK_SECONDS * self._rate)
        passed = 0.0 if turn.first_audio is None else now - turn.first_audio
        if samples > min(turn.sent, passed * self._rate) + slack:
            raise StageError(
                _INVALID,
                f"turn {turn.number} cannot have been played to {samples / self._rate:.2f} s: "
                f"it has {turn.sent / self._rate:.2f} s, and began {passed:.2f} s ago",
            )
        if interrupted and turn.cut_at is None:
            self._early = turn.number, samples, now
            return []
        turn.played = min(samples, turn.sent)
        if turn.cut_at is not None:
            return self._end(turn, turn_pb2.TURN_END_REASON_INTERRUPTED, now)
        whole = turn.length - turn.played <= slack
        reason = turn_pb2.TURN_END_REASON_COMPLETED if whole else turn_pb2.TURN_END_REASON_FAILED
        return self._end(turn, reason, now)

    def presence(self, present: bool, now: float) -> list[Report]:
        """The client came (also: came back), or went."""
        self._present, self._gone_at = present, None if present else now
        for turn in self._turns.values():
            turn.waiting_since = now
        return self.expire(now)

    def due(self) -> float | None:
        """When ``expire`` next has something to do; None when nothing is waited for."""
        times = [time for turn in self._turns.values() if (time := self._limit(turn)) is not None]
        return min(times, default=None)

    def expire(self, now: float) -> list[Report]:
        """Ends the turns whose time is up."""
        reports: list[Report] = []
        for number in sorted(self._turns):
            turn = self._turns.get(number)  # none when a newer one has ended it
            limit = None if turn is None else self._limit(turn)
            if turn is not None and limit is not None and limit <= now:
                reports += self._end(turn, self._verdict(turn), now)
        return reports

    def close(self, now: float) -> list[Report]:
        """Ends every turn: the caller ended the session."""
        newest = max(self._turns.values(), key=lambda turn: turn.number, default=None)
        if newest is None:
            return []
        return self._end(newest, turn_pb2.TURN_END_REASON_INTERRUPTED, now)

    @property
    def _reporter_there(self) -> bool:
        """Whether somebody can say what was played: a client, or the engine, which plays anyway."""
        return self._present or self._engine

    def _limit(self, turn: _Turn) -> float | None:
        if turn.cut_at is not None:
            return turn.cut_at + (self._farewell_seconds if self._reporter_there else 0.0)
        if self._gone_at is not None:
            return self._gone_at + self._return_seconds
        unheard = turn.length - turn.played
        if not self._reporter_there or unheard == 0 or (self._engine and not turn.whole):
            return None
        return turn.waiting_since + unheard / self._rate + PATIENCE_SECONDS

    def _verdict(self, turn: _Turn) -> turn_pb2.TurnEndReason.ValueType:
        if turn.cut_at is not None:
            return turn_pb2.TURN_END_REASON_INTERRUPTED
        if self._gone_at is not None:
            return turn_pb2.TURN_END_REASON_FAILED
        return turn_pb2.TURN_END_REASON_DEADLINE

    def _completed(self, turn: _Turn, now: float) -> list[Report]:
        if turn.whole and turn.played == turn.length:
            return self._end(turn, turn_pb2.TURN_END_REASON_COMPLETED, now)
        return []

    def _end(
        self, turn: _Turn, reason: turn_pb2.TurnEndReason.ValueType, now: float
    ) -> list[Report]:
        """Ends a turn, and before it the older ones that still wait for a last report."""
        ended: list[Report] = []
        for number in sorted(self._turns):
            if number < turn.number:
                ended += self._end(self._turns[number], turn_pb2.TURN_END_REASON_INTERRUPTED, now)
        self._fence.end(turn.number)
        del self._turns[turn.number]
        ended.append(
            egress_pb2.TurnEnded(
                turn=turn.number, reason=reason, played_samples=turn.played, timing=turn.timing(now)
            )
        )
        return ended

    @staticmethod
    def _check_not_whole(turn: _Turn) -> None:
        if turn.whole:
            raise StageError(_INVALID, f"turn {turn.number} goes on after its end_of_turn")


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
