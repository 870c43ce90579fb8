"""A person at a client, in real time: a microphone, a loudspeaker, and patience."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stagekit.audio import Samples
from stagewire.common.v1.session_event_pb2 import CONVERSATION_STATE_LISTENING, SessionEvent

from stagewire_cli import client as c
from stagewire_cli.microphone import HERTZ, Microphone
from stagewire_cli.recorder import Recorder
from stagewire_cli.speaker import Speaker
from stagewire_cli.transcript import Transcript, Turn, table

TICK_SECONDS = 0.02
REPORT_SECONDS = 0.1
GREETING_SECONDS = 1.5  # how long a greeting may take to begin


class ConnectionLostError(Exception):
    """The server ended the connection; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to say: a recording, or typed text.

    Attributes:
        name: How progress lines call it.
        samples: The recording at 16 kHz, or None.
        text: What is typed, when it is not a recording.
    """

    name: str
    samples: Samples | None = None
    text: str = ""


class Conversation:
    """Asks questions one after another and hears the answers.

    Args:
        connection: The joined client.
        say: Takes progress lines.
        recorder: Takes motion, or None.
        answer_seconds: How long an answer may take to begin.
    """

    def __init__(
        self,
        connection: c.Client,
        say: Callable[[str], None],
        recorder: Recorder | None = None,
        answer_seconds: float = 30.0,
    ) -> None:
        """Nothing has been said."""
        self._connection = connection
        self._say = say
        self._recorder = recorder
        self._answer_seconds = answer_seconds
        self._clock = asyncio.get_running_loop().time
        self._microphone = Microphone()
        self.speaker = Speaker(connection.joined.voice_hertz)
        self.transcript = Transcript()
        self.began = self._clock()
        self.unanswered = 0
        self._reported = (0, 0)

    @property
    def has_motion(self) -> bool:
        """Whether the session has motion."""
        return bool(self._connection.joined.motion_codec)

    async def run(self, questions: Sequence[Question], interrupt_after: float | None) -> None:
        """Asks each question when the answer before it is over, or cuts into that.

        Args:
            questions: What to say.
            interrupt_after: Seconds of an answer after which the next question is asked;
                None waits for its end.

        Raises:
            ConnectionLostError: When the server ends the connection.
        """
        self.began = self._clock()
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._listen()),
                    tasks.create_task(self._capture()),
                    tasks.create_task(self._play()),
                ]
                await self._ask_all(questions, interrupt_after)
                for helper in helpers:
                    helper.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self.speaker.stop(self._clock())

    async def _ask_all(self, questions: Sequence[Question], interrupt_after: float | None) -> None:
        await self._await_greeting()
        for place, question in enumerate(questions):
            known = max(self.transcript.turns, default=0)
            await self._ask(question)
            turn = await self._await_answer(known)
            if turn is None:
                self._say(f"no answer within {self._answer_seconds:g} s")
                self.unanswered += 1
                continue
            last = place == len(questions) - 1
            await self._hear_out(turn, None if last else interrupt_after)

    async def _await_greeting(self) -> None:
        if await self._until(lambda: bool(self.speaker.turn), GREETING_SECONDS):
            self._say("the avatar greets")
        await self._until(lambda: self._idle, self._answer_seconds)

    async def _ask(self, question: Question) -> None:
        if question.samples is None:
            self._say(f"you type: {question.text}")
            self.transcript.ask(self._clock())
            await self._connection.type_text(question.text)
            return
        self._say(f"you say: {question.name} ({len(question.samples) / HERTZ:.1f} s)")
        utterance = self._microphone.say(question.samples)
        self.transcript.ask(self.began + utterance.last_speech / HERTZ)
        # The answer may come sooner than a recording's trailing silence ends.
        await self._until(lambda: self._microphone.sample >= utterance.last_speech, None)

    async def _await_answer(self, known: int) -> Turn | None:
        """The turn that answers; not one that began, and was cut, in a pause of the question."""
        asked = self._clock()

        def answer() -> Turn | None:
            for turn in self.transcript.turns.values():
                voice = turn.first_voice_at
                if turn.number > known and voice and (not turn.reason or voice >= asked):
                    return turn
            return None

        await self._until(lambda: answer() is not None, self._answer_seconds)
        return answer()

    async def _hear_out(self, turn: Turn, interrupt_after: float | None) -> None:
        """Waits for the answer's end, or until enough of it has been heard."""

        def enough() -> bool:
            return interrupt_after is not None and turn.played_seconds >= interrupt_after

        await self._until(lambda: self._idle or enough(), None)
        if enough():
            self._say(f"interrupting turn {turn.number} after {turn.played_seconds:.2f} s")

    @property
    def _idle(self) -> bool:
        """Whether the avatar has finished and listens."""
        return self.speaker.silent and self.transcript.state == CONVERSATION_STATE_LISTENING

    async def _until(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Waits for a condition; False when it did not come in time."""
        limit = None if seconds is None else self._clock() + seconds
        while not condition():
            if limit is not None and self._clock() >= limit:
                return False
            await asyncio.sleep(TICK_SECONDS)
        return True

    async def _capture(self) -> None:
        """Sends the microphone in real time: a frame when its last sample has been captured."""
        while True:
            frame = self._microphone.frame()
            captured = self.began + self._microphone.sample / HERTZ
            await asyncio.sleep(max(0.0, captured - self._clock()))
            await self._connection.send_audio(frame)

    async def _play(self) -> None:
        """Lets the loudspeaker's clock run, and reports it."""
        due = 0.0
        while True:
            now = self._clock()
            self.speaker.advance(now)
            self._note_playback()
            if now >= due or self.speaker.silent:
                due = now + REPORT_SECONDS
                await self._report()
            await asyncio.sleep(TICK_SECONDS)

    def _note_playback(self) -> None:
        turn = self.transcript.turns.get(self.speaker.turn)
        if turn is not None:
            turn.played_seconds = self.speaker.position / self._connection.joined.voice_hertz
            if turn.first_sound_at is None and self.speaker.heard:
                latest = self.speaker.heard[-1]
                turn.first_sound_at = latest.began if latest.turn == turn.number else None

    async def _report(self) -> None:
        position = self.speaker.turn, self.speaker.position
        if position != self._reported and self.speaker.position:
            self._reported = position
            await self._connection.report(*position, buffer_seconds=self._held())

    def _held(self) -> float | None:
        """How long the loudspeaker's buffer held the turn's first voice back."""
        turn = self.transcript.turns.get(self.speaker.turn)
        if turn is None or turn.first_voice_at is None or turn.first_sound_at is None:
            return None
        return max(0.0, turn.first_sound_at - turn.first_voice_at)

    async def _listen(self) -> None:
        async for message in self._connection:
            await self.take(message)
        code, reason = self._connection.close_code, self._connection.close_reason
        raise ConnectionLostError(f"the server closed the connection: {code} {reason}".strip())

    async def take(self, message: c.Message) -> None:
        """Acts on one message of the server."""
        now = self._clock()
        match message:
            case c.TurnStart():
                self.speaker.start(message.turn, now)
                self.transcript.turn(message.turn)
            case c.Voice():
                self.transcript.answer(message.turn, now)
                self.speaker.push(message.turn, message.start_sample, message.pcm, now)
            case c.Motion():
                turn = self.transcript.turn(message.turn)
                turn.first_motion_at = turn.first_motion_at or now
                if self._recorder is not None:
                    self._recorder.motion(message)
            case c.EndOfTurn():
                self.speaker.finish(message.turn, now)
            case c.Interrupted():
                await self._interrupted(message.turn, now)
            case c.Event():
                self._follow(message.event)
            case c.Refusal():
                self._say(f"the server refuses: {message.code}: {message.message}")
            case c.GoingAway():
                self._say(f"the server stops in {message.grace_seconds:g} s")

    def _follow(self, event: SessionEvent) -> None:
        self.transcript.follow(event)
        match event.WhichOneof("event"):
            case "turn_summary":
                turn = self.transcript.turn(event.turn)
                if turn.first_voice_at is not None:
                    self._say(table(turn, self.has_motion))
            case "notice":
                self._say(f"notice: {event.notice.message}")
            case "session_ended":
                self._say(f"the session ended: {event.session_ended.reason}")

    async def _interrupted(self, turn: int, now: float) -> None:
        if self.speaker.turn > turn:
            return
        self.speaker.stop(now)
        self._note_playback()
        if self.speaker.turn == turn:
            self._reported = turn, self.speaker.position
            await self._connection.report(turn, self.speaker.position, stopped=True)
