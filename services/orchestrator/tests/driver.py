"""Drives the machine in tests: a virtual clock, and the commands that came out."""

from __future__ import annotations

from typing import TypeVar

from stagewire.common.v1.timing_pb2 import Word
from stagewire_orchestrator import commands as c
from stagewire_orchestrator import events as e
from stagewire_orchestrator.history import History
from stagewire_orchestrator.machine import Conversation
from stagewire_orchestrator.policy import Policy
from stagewire_orchestrator.timeline.recording import Recording

Command = TypeVar("Command", bound=c.Command)

HERTZ = 24_000
CHUNK = 1_200  # samples, 50 ms


class Driver:
    """Feeds events; keeps every command with its time."""

    def __init__(
        self,
        greeting: str = "",
        policy: Policy | None = None,
        motion_wait: float | None = None,
        content: bool = True,
        engine_plays: bool = False,
    ) -> None:
        self.now = 100.0
        self.history = History("You are a test.")
        self.machine = Conversation(self.history, greeting, policy or Policy(), self.now)
        self.log: list[tuple[float, c.Command]] = []
        self.recording = Recording("s-1", "ava", content=content, now=self.now)
        started = e.Started(HERTZ, True, motion_wait=motion_wait, engine_plays=engine_plays)
        self.feed(started, e.ClientJoined())

    def feed(self, *events: e.Event, after: float = 0.0) -> list[c.Command]:
        """Feeds events at once, ``after`` seconds from now; returns the new commands."""
        self.pass_time(after)
        before = len(self.log)
        for event in events:
            self._handle(event)
        return [command for _, command in self.log[before:]]

    def pass_time(self, seconds: float) -> list[c.Command]:
        """Lets time pass, with a Tick at every deadline."""
        before = len(self.log)
        end = self.now + seconds
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self._handle(e.Tick())
        self.now = end
        return [command for _, command in self.log[before:]]

    def _handle(self, event: e.Event) -> None:
        commands = self.machine.handle(event, self.now)
        self.recording.note(event, commands, self.now)
        self.log += [(self.now, command) for command in commands]

    def all(self, kind: type[Command]) -> list[Command]:
        """Every command of a kind, in order."""
        return [command for _, command in self.log if isinstance(command, kind)]

    def announced(self, arm: str) -> list[c.Announce]:
        """Every announcement of an arm."""
        return [a for a in self.all(c.Announce) if a.event.WhichOneof("event") == arm]

    # --- whole stretches of a conversation -----------------------------------------------------

    def hear(self, text: str, utterance: int = 1, first: int | None = None) -> None:
        """The user says ``text`` and falls silent; the words are final, the turn is not over."""
        self.feed(e.SpeechStarted(utterance))
        self.feed(e.SpeechStopped(utterance, self.now + 0.4), after=0.5)
        self.feed(e.Final(utterance, first or utterance, text), after=0.3)

    def ask(self, text: str, utterance: int = 1) -> int:
        """A whole user turn; returns the number of the answer."""
        self.hear(text, utterance)
        self.feed(e.EndOfTurn(utterance, 0.9), after=0.05)
        return self.machine.turns

    def generate(self, turn: int, text: str) -> None:
        """The model's whole answer."""
        for piece in text.split(" "):
            self.feed(e.LlmDelta(turn, f"{piece} "))
        self.feed(e.LlmDone(turn))

    def voice(self, turn: int, chunks: int = 4, *, start: int = 0, motion: bool = True) -> None:
        """Chunks of voice, each with its motion."""
        for k in range(start, start + chunks):
            self.feed(e.TtsAudio(turn, bytes(2 * CHUNK), k * CHUNK))
            if motion:
                self.feed(e.MotionFrames(turn, b"m", k * CHUNK, (k + 1) * CHUNK))

    def words(self, turn: int, text: str, samples_each: int) -> None:
        """Word times: every word sounds equally long."""
        words, position = [], 0
        for k, word in enumerate(text.split()):
            begin = text.index(word, position)
            position = begin + len(word)
            span = {"start_sample": k * samples_each, "end_sample": (k + 1) * samples_each}
            words.append(Word(text=word, text_start=begin, text_end=position, **span))
        self.feed(e.TtsWords(turn, words))
