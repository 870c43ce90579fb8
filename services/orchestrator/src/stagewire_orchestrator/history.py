"""What was said, as both sides heard it.

The language model must remember what the user heard, not what it generated: after an interruption
the two differ. An answer therefore keeps its words with the samples at which they end, and its
text is whatever playback confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from stagewire.common.v1.timing_pb2 import Word

CUT_OFF = "…"
"""Ends an answer that was interrupted, so that the model knows that it was."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the language model."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(slots=True)
class Answer:
    """An answer of the avatar and how much of it was heard.

    Attributes:
        text: All that was generated.
        words: Word times, in samples from the start of the turn.
        played_samples: The last position that the client confirmed.
        complete: Everything was played.
    """

    text: str = ""
    words: list[Word] = field(default_factory=list)
    played_samples: int = 0
    complete: bool = False

    @property
    def heard(self) -> str:
        """The text that was heard: whole words, up to the confirmed position.

        Without word times nothing is known of a part, so only a complete answer counts.
        """
        if self.complete:
            return self.text
        end = 0
        for word in self.words:
            if word.end_sample > self.played_samples:
                break
            end = word.text_end
        return self.text[:end]


class History:
    """The conversation so far, bounded.

    Args:
        persona: The system message.
        limit: Messages kept besides the persona; older ones are forgotten in pairs.
    """

    def __init__(self, persona: str, limit: int = 24) -> None:
        """Nothing was said yet."""
        self._persona = persona
        self._limit = limit
        self._entries: list[str | Answer] = []

    def add_user(self, text: str) -> None:
        """The user said this."""
        self._entries.append(text)
        self._forget()

    def add_answer(self, answer: Answer) -> None:
        """The avatar begins to be heard; what ``answer`` holds later is what counts."""
        self._entries.append(answer)

    @property
    def unanswered(self) -> bool:
        """Whether the last thing heard by anybody came from the user."""
        for entry in reversed(self._entries):
            if isinstance(entry, str):
                return True
            if entry.heard:
                return False
        return False

    def messages(self, user_text: str | None = None) -> tuple[Message, ...]:
        """What the model is given; ``user_text`` is appended as the user's newest words.

        Neighbouring messages of one side are joined, since models expect them to alternate.
        """
        messages = [Message("system", self._persona)]
        entries: Sequence[str | Answer] = (
            self._entries if user_text is None else [*self._entries, user_text]
        )
        for entry in entries:
            role: Literal["user", "assistant"] = "user"
            text = entry if isinstance(entry, str) else entry.heard
            if isinstance(entry, Answer):
                role = "assistant"
                if not text:
                    continue
                text = text.strip() if entry.complete else text.strip() + CUT_OFF
            if messages[-1].role == role:
                text = f"{messages.pop().text} {text}".strip()
            messages.append(Message(role, text))
        return tuple(messages)

    def _forget(self) -> None:
        while len(self._entries) > self._limit:
            del self._entries[0]
            while self._entries and isinstance(self._entries[0], Answer):
                del self._entries[0]
