"""The avatar's side of the conversation: one answer after another, from its text to its end.

At most one turn is open, and at most one more is stopping: cut short, its end not yet reported by
egress. Every number that comes from outside is compared with these two, and what belongs to
neither is dropped. Every turn ends once, in ``_end``.

What the table in ``turn`` cannot say: the first sound waits a little for its motion, and a turn is
over at motion_bridge and at egress at different times. ``deliver`` holds these rules.

Where the motion engine plays into the room by itself, what motion_bridge gets sounds. So it gets
nothing before the first sound may go out; a turn without motion_bridge is a turn without a voice;
and how far a turn was heard is known at its end, so the next answer is not asked for before that.
"""

from __future__ import annotations

from typing import assert_never

from stagewire.common.v1 import error_pb2, turn_pb2
from stagewire.common.v1.session_event_pb2 import AvatarTranscript, SessionEvent, TurnSummary

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.history import History
from stagewire_orchestrator.latency import Delivered, Marks
from stagewire_orchestrator.policy import Policy
from stagewire_orchestrator.turn import MotionCommand, Phase, Signal, Turn


class Answering:
    """Owns the open turn and the stopping one.

    Args:
        history: Receives each answer when it begins to sound.
        policy: The numbers.
        out: Where commands are appended.
    """

    def __init__(self, history: History, policy: Policy, out: list[c.Command]) -> None:
        """No turn yet."""
        self.turn: Turn | None = None
        self.stopping: Turn | None = None
        self.numbers = 0
        self.voice_hertz = 1
        self.motion_up = False
        self.egress_up = False
        self.engine_plays = False
        self.motion_wait = policy.motion_wait
        self._client_away = False
        self._history = history
        self._policy = policy
        self._out = out

    # --- beginnings --------------------------------------------------------------------------

    def answer(self, user_text: str, phase: Phase, marks: Marks, now: float) -> None:
        """Begins an answer; speculative (``PREPARING``), or to what the history ends with."""
        marks.llm_started = now
        self._begin(user_text, phase, marks)
        self._call_if_due(now)

    def say(self, text: str, now: float) -> None:
        """Speaks a given text: a greeting."""
        turn = self._begin("", Phase.WAITING, Marks(llm_started=now))
        turn.called = True
        self._out.append(c.StartTts(turn.number))
        self._compose(turn, e.LlmDelta(turn.number, text), now)
        self._finish_text(turn, now)

    def commit(self, user_text: str, marks: Marks, now: float) -> bool:
        """Makes the prepared answer to exactly this text the real one; False if there is none."""
        turn = self.turn
        if turn is None or turn.phase is not Phase.PREPARING or turn.user_text != user_text:
            return False
        turn.marks.asked, turn.marks.silence, turn.marks.committed = marks.asked, marks.silence, now
        turn.marks.transcribed, turn.marks.asr = marks.transcribed, marks.asr
        turn.move(Signal.COMMIT)
        self._announce_text(turn)
        return True

    def _call_if_due(self, now: float) -> None:
        """Asks llm and tts, unless the history still lacks what was heard of the turn before."""
        turn = self.turn
        if turn is None or turn.called or (self.engine_plays and self.stopping is not None):
            return
        turn.called, turn.marks.llm_started = True, now
        pending = turn.user_text if turn.phase is Phase.PREPARING else None
        messages = self._history.messages(pending)
        self._out.append(c.StartLlm(turn.number, messages, turn.phase is Phase.PREPARING))
        self._out.append(c.StartTts(turn.number))

    def _begin(self, user_text: str, phase: Phase, marks: Marks) -> Turn:
        self.numbers += 1
        self.turn = Turn(self.numbers, user_text, phase, marks)
        return self.turn

    # --- events ------------------------------------------------------------------------------

    def client_left(self) -> None:
        """Nobody confirms anything for a while."""
        self._client_away = True

    def client_joined(self, now: float) -> None:
        """Somebody does: a turn that waited goes on."""
        self._client_away = False
        if self.turn is not None:
            self.turn.progress_at = now

    def handle(self, event: e.TurnEvent, now: float) -> None:
        """Takes what a stage says about a turn, or about itself."""
        match event:
            case e.MotionLost():
                self.motion_up = False
                if self.turn is not None:
                    self._go_on_without_motion(self.turn, now)
            case e.MotionBack():
                self.motion_up = True
            case e.EgressLost():
                self.egress_up = False
                for turn in (self.stopping, self.turn):
                    if turn is not None and turn.phase in (Phase.SPEAKING, Phase.STOPPING):
                        self._end(turn, turn_pb2.TURN_END_REASON_FAILED)
            case e.EgressBack():
                self.egress_up = True
            case e.Played():
                self._played(event.turn, event.samples, event.delivered, now)
            case e.EgressEnded():
                self._played(event.turn, event.played_samples, event.delivered, now)
                for turn in (self.stopping, self.turn):
                    heard = turn is not None and turn.phase in (Phase.SPEAKING, Phase.STOPPING)
                    if turn is not None and heard and turn.number == event.turn:
                        self._end(turn, event.reason)
            case _:
                turn = self.turn
                if turn is not None and turn.number == event.turn:
                    self._of_turn(turn, event, now)

    def _of_turn(
        self,
        turn: Turn,
        event: e.LlmDelta
        | e.LlmDone
        | e.StageFailed
        | e.TtsAudio
        | e.TtsWords
        | e.TtsPhonemes
        | e.TtsDone
        | e.MotionFrames
        | e.MotionEnded
        | e.MotionFailed,
        now: float,
    ) -> None:
        turn.progress_at = now
        match event:
            case e.LlmDelta():
                self._compose(turn, event, now)
            case e.LlmDone():
                self._finish_text(turn, now)
            case e.StageFailed():
                self._fail(turn, event, now)
            case e.TtsAudio() | e.TtsWords() | e.TtsPhonemes():
                self._voice(turn, event, now)
            case e.TtsDone():
                self._finish_voice(turn, now)
            case e.MotionFrames():
                if turn.finished_at is not None:
                    return  # egress was told that no more comes, and takes no more
                if turn.marks.first_motion is None:
                    turn.marks.first_motion, turn.marks.motion = now, event.reported
                frames = (event.payload, event.start_sample, event.end_sample)
                turn.held.append(c.PlayMotion(event.turn, *frames))
            case e.MotionEnded():
                turn.motion_ended = True
            case e.MotionFailed():
                self._go_on_without_motion(turn, now)
            case _:
                assert_never(event)

    def _compose(self, turn: Turn, event: e.LlmDelta, now: float) -> None:
        if turn.marks.first_token is None:
            turn.marks.first_token = now
            turn.marks.llm, turn.marks.llm_retried = event.reported, event.retried
        turn.answer.text += event.text
        for clause in turn.splitter.push(event.text):
            self._feed(turn, clause, now)

    def _finish_text(self, turn: Turn, now: float) -> None:
        if turn.text_done:
            return
        turn.text_done = True
        if (rest := turn.splitter.flush()).strip():
            self._feed(turn, rest, now)
        self._out.append(c.FinishTts(turn.number))

    def _feed(self, turn: Turn, clause: str, now: float) -> None:
        turn.marks.first_clause = turn.marks.first_clause or now
        turn.fed += len(clause)
        self._out.append(c.FeedTts(turn.number, clause))
        if turn.committed:
            self._announce_text(turn)

    def _voice(
        self, turn: Turn, event: e.TtsAudio | e.TtsWords | e.TtsPhonemes, now: float
    ) -> None:
        moves = (self.motion_up or self.engine_plays) and not turn.motion_ended
        if moves and not turn.motion_started:
            turn.motion_started, turn.marks.moves = True, not self.engine_plays
            self._move(turn, c.StartMotion(turn.number))
        match event:
            case e.TtsAudio():
                if turn.marks.first_audio is None:
                    turn.marks.first_audio = now
                    turn.marks.tts, turn.marks.tts_retried = event.reported, event.retried
                turn.received_samples = event.start_sample + len(event.data) // 2
                turn.held.append(c.PlayAudio(event.turn, event.data, event.start_sample))
                if moves:
                    self._move(turn, c.MoveAudio(event.turn, event.data, event.start_sample))
            case e.TtsWords():
                turn.answer.words.extend(event.words)
                turn.held.append(c.PlayWords(event.turn, event.words))
            case e.TtsPhonemes():
                if moves:
                    told = c.MovePhonemes(event.turn, event.alphabet, event.phonemes)
                    self._move(turn, told)

    def _finish_voice(self, turn: Turn, now: float) -> None:
        turn.voice_done_at = now
        if turn.motion_started and not turn.motion_ended:
            self._move(turn, c.FinishMotion(turn.number))
        else:
            turn.motion_ended = True

    def _fail(self, turn: Turn, event: e.StageFailed, now: float) -> None:
        """A call failed for good: go on with what there is, or end the turn."""
        self._announce(SessionEvent(turn=turn.number, notice=event.fault))
        if event.stage == "llm" and turn.answer.text:
            self._finish_text(turn, now)
        elif event.stage == "tts" and turn.received_samples:
            turn.voice_cut = turn.text_done = True
            self._out.append(c.CancelCalls(turn.number))
            self._finish_voice(turn, now)
        else:
            self._end(turn, turn_pb2.TURN_END_REASON_FAILED)

    def _move(self, turn: Turn, command: MotionCommand) -> None:
        """For motion_bridge: at once, or with the sound where it is the sound."""
        if self.engine_plays:
            turn.held.append(command)
        else:
            self._out.append(command)

    def _go_on_without_motion(self, turn: Turn, now: float) -> None:
        """As a voice; where the engine is the voice, what sounds has failed, the rest waits."""
        if not self.engine_plays:
            turn.motion_ended = True
        elif turn.phase is Phase.SPEAKING:
            turn.failed = True
            self.stop(now)

    # --- sound -------------------------------------------------------------------------------

    def deliver(self, now: float) -> None:
        """Sends what may go out: nothing before the first sound may, then all there is."""
        self._call_if_due(now)
        turn = self.turn
        if turn is None or not turn.committed or not self._reaches_client:
            return
        if turn.phase is Phase.WAITING:
            if turn.voice_done_at is not None and not turn.received_samples:
                self._end(turn, turn_pb2.TURN_END_REASON_COMPLETED)
                return
            if not turn.received_samples or now < self._first_motion_deadline(turn):
                return
            self._sound(turn, now)
        self._out.extend(turn.held)
        turn.held.clear()
        if turn.voice_done_at is None or turn.finished_at is not None:
            return
        last = self.engine_plays or turn.motion_ended
        if last or now >= turn.voice_done_at + self.motion_wait:
            turn.finished_at = now
            self._out.append(c.FinishPlaying(turn.number))

    @property
    def _reaches_client(self) -> bool:
        return self.egress_up and (self.motion_up or not self.engine_plays)

    def lead(self, turn: Turn, now: float) -> int:
        """Samples of voice that are not played yet, at most.

        An engine that plays by itself confirms nothing before the end. It cannot be faster than
        time, and what it has beyond that is a lead, too.
        """
        played = turn.answer.played_samples
        if self.engine_plays and turn.marks.sounded is not None:
            played = max(played, int((now - turn.marks.sounded) * self.voice_hertz))
        return turn.received_samples - played

    def _sound(self, turn: Turn, now: float) -> None:
        turn.move(Signal.SOUND)
        turn.marks.sounded = now
        self._history.add_answer(turn.answer)
        self._out.append(c.StartPlaying(turn.number))

    def _first_motion_deadline(self, turn: Turn) -> float:
        """Until when the first sound waits for motion."""
        without = self.engine_plays or turn.motion_ended or not turn.motion_started
        if turn.marks.first_motion is not None or without:
            return 0.0
        return (turn.marks.first_audio or 0.0) + self.motion_wait

    # --- ends --------------------------------------------------------------------------------

    def stop(self, now: float) -> None:
        """Cuts the open turn short, if there is one."""
        turn = self.turn
        if turn is None:
            return
        if turn.phase is Phase.PREPARING:
            self._end(turn, turn_pb2.TURN_END_REASON_SUPERSEDED)
        elif turn.phase is Phase.WAITING:
            self._end(turn, turn_pb2.TURN_END_REASON_INTERRUPTED)
        else:
            self._out.append(c.InterruptPlaying(turn.number))
            self._release(turn)
            if self.stopping is not None:
                self._end(self.stopping, turn_pb2.TURN_END_REASON_INTERRUPTED)
            turn.move(Signal.STOP)
            turn.stopped_at = now
            self.turn, self.stopping = None, turn

    def _release(self, turn: Turn) -> None:
        """Frees what the stages still do for a turn."""
        if turn.called and (not turn.text_done or turn.voice_done_at is None):
            self._out.append(c.CancelCalls(turn.number))
        if turn.motion_started and not turn.motion_ended:
            self._out.append(c.InterruptMotion(turn.number))

    def _end(self, turn: Turn, reason: turn_pb2.TurnEndReason.ValueType) -> None:
        if turn.phase is Phase.SPEAKING and turn.finished_at is None and self.egress_up:
            self._out.append(c.InterruptPlaying(turn.number))
        if turn.phase is not Phase.STOPPING:
            self._release(turn)
        turn.move(Signal.END)
        if turn.failed:
            reason = turn_pb2.TURN_END_REASON_FAILED
        answer = turn.answer
        completed = reason == turn_pb2.TURN_END_REASON_COMPLETED and turn.voice_done_at is not None
        answer.complete = completed and not turn.voice_cut and turn.received_samples > 0
        self._tell_latency(turn)
        if turn is self.turn:
            self.turn = None
        else:
            self.stopping = None
        summary = TurnSummary(
            reason=reason,
            text=answer.text,
            heard_characters=len(answer.heard),
            played_samples=answer.played_samples,
            played_milliseconds=1000 * answer.played_samples // self.voice_hertz,
        )
        self._announce(SessionEvent(turn=turn.number, turn_summary=summary))

    def _played(self, number: int, samples: int, delivered: Delivered | None, now: float) -> None:
        for turn in (self.stopping, self.turn):
            if turn is not None and turn.number == number:
                confirmed = min(samples, turn.received_samples)
                turn.answer.played_samples = max(turn.answer.played_samples, confirmed)
                turn.progress_at = now
                if turn.phase in (Phase.SPEAKING, Phase.STOPPING):
                    turn.marks.confirmed, turn.marks.delivered = now, delivered
                    self._tell_latency(turn)

    # --- time --------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When ``expire`` or ``deliver`` has something to do without any event."""
        times: list[float] = []
        if self.stopping is not None:
            times.append(self._stopped_deadline(self.stopping))
        turn = self.turn
        if turn is not None:
            if (end := self._end_deadline(turn)) is not None:
                times.append(end)
            if turn.committed and self._reaches_client:
                if turn.phase is Phase.WAITING and turn.received_samples:
                    times.append(self._first_motion_deadline(turn))
                if turn.voice_done_at is not None and turn.finished_at is None:
                    times.append(turn.voice_done_at + self.motion_wait)
        return min(times, default=None)

    def expire(self, now: float) -> None:
        """Ends what took too long."""
        if self.stopping is not None and now >= self._stopped_deadline(self.stopping):
            self._end(self.stopping, turn_pb2.TURN_END_REASON_INTERRUPTED)
        turn = self.turn
        if turn is None or (end := self._end_deadline(turn)) is None or now < end:
            return
        what = "nothing sounded" if turn.phase is Phase.WAITING else "its end was not confirmed"
        message = f"turn {turn.number}: {what} in time"
        fault = error_pb2.Fault(code=4, reason=error_pb2.ERROR_REASON_TIMEOUT, message=message)
        self._announce(SessionEvent(turn=turn.number, notice=fault))
        self._end(turn, turn_pb2.TURN_END_REASON_DEADLINE)

    def _stopped_deadline(self, turn: Turn) -> float:
        policy = self._policy
        timeout = policy.engine_stop_timeout if self.engine_plays else policy.stop_timeout
        return (turn.stopped_at or 0.0) + timeout

    def _end_deadline(self, turn: Turn) -> float | None:
        if turn.phase is Phase.WAITING:
            begun = turn.marks.committed or turn.marks.llm_started or 0.0
            return begun + self._policy.answer_timeout
        if turn.phase is not Phase.SPEAKING or self._client_away:
            return None  # what a client that is away did not hear, egress says
        if turn.finished_at is None:
            return turn.progress_at + self._policy.answer_timeout
        left = (turn.received_samples - turn.answer.played_samples) / self.voice_hertz
        return max(turn.finished_at, turn.progress_at) + left + self._policy.playback_grace

    # --- telling -----------------------------------------------------------------------------

    def _announce(self, event: SessionEvent) -> None:
        self._out.append(c.Announce(event))

    def _tell_latency(self, turn: Turn) -> None:
        """Once for each turn: when its first sound is confirmed, or at its end."""
        latency = None if turn.latency_told else turn.marks.breakdown()
        if latency is not None:
            turn.latency_told = True
            self._announce(SessionEvent(turn=turn.number, latency=latency))

    def _announce_text(self, turn: Turn) -> None:
        """Shows what went to tts so far; a speculative turn's text once it is committed."""
        if turn.fed:
            said = AvatarTranscript(text=turn.answer.text[: turn.fed].strip())
            self._announce(SessionEvent(turn=turn.number, avatar_transcript=said))
