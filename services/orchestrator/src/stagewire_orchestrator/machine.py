"""The conversation: a state machine without I/O.

Theory of operation. The shell calls ``handle`` with one event and the time, and carries out the
commands that come back, in order; nothing else changes state. Between calls it looks at
``deadline`` and sends a ``Tick`` when that time comes, and at ``wants_audio`` before it reads more
voice of a turn.

The user's side is ``Hearing``, the avatar's is ``Answering``; here they meet. Words become final
before the user's turn is known to be over. As soon as they are, an answer is prepared through llm,
tts and motion_bridge, and held. When the turn is over with the same words, what is held goes out;
when the user goes on, it is superseded. So the models run while the machine waits for silence.
"""

from __future__ import annotations

from typing import assert_never

from stagewire.common.v1 import session_event_pb2
from stagewire.common.v1.session_event_pb2 import SessionEvent, StateChanged, UserTranscript

from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.answering import Answering
from stagewire_orchestrator.hearing import Hearing
from stagewire_orchestrator.history import History
from stagewire_orchestrator.latency import Marks
from stagewire_orchestrator.policy import Policy
from stagewire_orchestrator.turn import Phase

_STATES = {
    Phase.WAITING: session_event_pb2.CONVERSATION_STATE_THINKING,
    Phase.SPEAKING: session_event_pb2.CONVERSATION_STATE_SPEAKING,
}


class Conversation:
    """One session's machine.

    Args:
        history: Holds the persona; the machine adds what is said.
        greeting: Spoken when the first client joins; empty for none.
        policy: The numbers.
        now: The time.
    """

    def __init__(self, history: History, greeting: str, policy: Policy, now: float) -> None:
        """Waits for ``Started``."""
        self._history = history
        self._greeting = greeting
        self._policy = policy
        self._out: list[c.Command] = []
        self._hearing = Hearing()
        self._answering = Answering(history, policy, self._out)
        self._client_deadline: float | None = now + policy.join_timeout
        self._owed = False
        self._warmed: str | None = None
        self._state = session_event_pb2.CONVERSATION_STATE_STARTING
        self._tells_again = False

    # --- what the shell sees -----------------------------------------------------------------

    def handle(self, event: e.Event, now: float) -> list[c.Command]:
        """Takes one event; returns what to do, in order."""
        turn = self._answering.turn
        self._dispatch(event, now)
        self._expire(now)
        self._answering.deliver(now)
        if turn is not None and self._answering.turn is None and not self._hearing.speaking:
            self._warm("")
        self._tell_state()
        commands = self._out.copy()
        self._out.clear()
        return commands

    @property
    def turns(self) -> int:
        """Turns begun, speculative ones included."""
        return self._answering.numbers

    @property
    def idle(self) -> bool:
        """Whether nothing is being said or answered: a good time to move to another instance."""
        busy = self._answering.turn or self._answering.stopping
        return busy is None and not self._hearing.speaking and not self._hearing.text

    def wants_audio(self, turn: int, now: float) -> bool:
        """Whether more voice of ``turn`` may be read now; True for a turn that is gone."""
        open_turn = self._answering.turn
        if open_turn is None or open_turn.number != turn:
            return True
        lead = self._answering.lead(open_turn, now)
        return lead < self._policy.max_lead * self._answering.voice_hertz

    @property
    def deadline(self) -> float | None:
        """When ``handle`` must be called with a Tick if nothing else happens."""
        times = (self._client_deadline, self._silence_deadline, self._answering.deadline)
        return min((time for time in times if time is not None), default=None)

    # --- events ------------------------------------------------------------------------------

    def _dispatch(self, event: e.Event, now: float) -> None:
        match event:
            case e.SpeechStarted() | e.Partial() | e.SpeechStopped() | e.EndOfTurn() | e.Final():
                self._hear(event, now)
            case e.Started():
                self._answering.voice_hertz = event.voice_hertz
                self._answering.motion_up = event.motion
                if event.motion_wait is not None:
                    self._answering.motion_wait = event.motion_wait
                self._answering.egress_up = True
                self._answering.engine_plays = event.engine_plays
                self._state = session_event_pb2.CONVERSATION_STATE_UNSPECIFIED
                self._warm("")
            case e.AsrLost():
                self._hearing.lost(now)
            case e.UserText():
                self._answering.stop(now)
                self._ask(event.text, Marks(asked=now), now)
            case e.UserInterrupt():
                self._answering.stop(now)
            case e.ClientJoined():
                self._client_deadline = None
                self._answering.client_joined(now)
                self._tells_again = True  # it may know nothing of what was told while it was away
                if self._greeting and self._answering.turn is None:
                    self._answering.say(self._greeting, now)
                self._greeting = ""
            case e.ClientLeft():
                self._client_deadline = now + self._policy.leave_grace
                self._answering.client_left()
            case e.Noticed():
                self._announce(SessionEvent(turn=event.fault.turn, notice=event.fault))
            case e.Tick():
                pass
            case _:
                self._answering.handle(event, now)

    def _hear(
        self,
        event: e.SpeechStarted | e.Partial | e.SpeechStopped | e.EndOfTurn | e.Final,
        now: float,
    ) -> None:
        hearing = self._hearing
        match event:
            case e.SpeechStarted():
                hearing.started(event)
                turn = self._answering.turn
                if turn is not None and turn.phase is Phase.WAITING:
                    self._owed = bool(turn.user_text)
                self._answering.stop(now)
            case e.Partial():
                if hearing.partial(event):
                    self._announce_user(hearing.text, final=False)
                    if self._answering.turn is None:
                        self._warm(hearing.stable_text)
            case e.SpeechStopped():
                hearing.stopped(event, now)
            case e.EndOfTurn():
                hearing.end_of_turn(event, self._policy.end_of_turn_probability)
            case e.Final():
                hearing.final(event, now)
            case _:
                assert_never(event)
        if hearing.settled:
            self._consider(now)

    def _consider(self, now: float) -> None:
        """The user is silent and the words are settled: commit, or prepare an answer."""
        hearing = self._hearing
        if hearing.over:
            self._take(now)
        elif hearing.text and self._policy.speculate:
            prepared = self._answering.turn
            if prepared is not None and prepared.user_text == hearing.text:
                return
            self._answering.stop(now)
            self._answering.answer(hearing.text, Phase.PREPARING, hearing.marks(), now)

    def _take(self, now: float) -> None:
        """The user's turn is over."""
        marks = self._hearing.marks()
        text = self._hearing.take()
        if self._hearing.utterance:
            self._out.append(c.CommitUtterance(self._hearing.utterance))
        if text:
            self._ask(text, marks, now)
        elif self._owed and self._answering.turn is None:
            # Noise cut off an answer before it sounded: give it after all.
            self._owed = False
            self._answering.answer("", Phase.WAITING, Marks(), now)

    def _ask(self, text: str, marks: Marks, now: float) -> None:
        """The user has said ``text``: commit the prepared answer to it, or begin one."""
        self._owed = False
        marks.committed = now
        self._announce_user(text, final=True)
        prepared = self._answering.commit(text, marks, now)
        if not prepared:
            self._answering.stop(now)
        self._history.add_user(text)
        if not prepared:
            self._answering.answer(text, Phase.WAITING, marks, now)

    # --- time --------------------------------------------------------------------------------

    @property
    def _silence_deadline(self) -> float | None:
        hearing = self._hearing
        if hearing.speaking or hearing.stopped_at is None:
            return None
        if hearing.settled:
            return hearing.stopped_at + self._policy.silence_timeout
        # Words are on their way from asr. Without any, there is nothing to take before they come.
        return hearing.stopped_at + self._policy.words_timeout if hearing.text else None

    def _expire(self, now: float) -> None:
        if self._client_deadline is not None and now >= self._client_deadline:
            self._client_deadline = None
            self._out.append(c.EndSession("no client came, or the client did not come back"))
        if (silence := self._silence_deadline) is not None and now >= silence:
            self._take(now)
        self._answering.expire(now)

    # --- telling -----------------------------------------------------------------------------

    def _warm(self, stable_text: str) -> None:
        """Asks for a prefill of the prompt as far as it is known, if that is news."""
        if stable_text and stable_text == self._warmed:
            return
        self._warmed = stable_text
        self._out.append(c.WarmLlm(self._history.messages(stable_text), open_ended=True))

    def _announce(self, event: SessionEvent) -> None:
        self._out.append(c.Announce(event))

    def _announce_user(self, text: str, *, final: bool) -> None:
        said = UserTranscript(text=text, final=final)
        self._announce(SessionEvent(user_transcript=said))

    def _tell_state(self) -> None:
        if self._state == session_event_pb2.CONVERSATION_STATE_STARTING:
            return
        turn = self._answering.turn
        listening = session_event_pb2.CONVERSATION_STATE_LISTENING
        state = listening if turn is None else _STATES.get(turn.phase, listening)
        if state == self._state and not self._tells_again:
            return
        speaking = session_event_pb2.CONVERSATION_STATE_SPEAKING
        if state != self._state and speaking in (state, self._state):
            self._out.append(c.HintSpeaking(state == speaking))
        self._state, self._tells_again = state, False
        self._announce(SessionEvent(state_changed=StateChanged(state=state)))
