"""A session's timeline as the HTTP API tells it. Times are milliseconds after the session began."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

Lane = Literal["user", "asr", "llm", "tts", "motion", "egress", "avatar"]


class Span(BaseModel):
    """A stretch of work, speech or playback."""

    lane: Lane
    turn: int = Field(description="The avatar's turn; 0 for none.")
    start: float
    first: float | None = Field(default=None, description="When the first of its output came.")
    end: float | None = Field(default=None, description="Absent while it goes on.")
    text: str = Field(default="", description="What was said; only where content is kept.")


class Moment(BaseModel):
    """Something that happened at one time."""

    at: float
    kind: Literal["interruption", "fault", "typed", "joined", "left"]
    turn: int = 0
    text: str = ""


class SpokenWord(BaseModel):
    """A word of the avatar, and when it sounded, or would have."""

    turn: int
    text: str
    start: float
    end: float
    heard: bool = Field(description="Whether the client confirmed it to its end.")


class Waveform(BaseModel):
    """How loud it was: the peak of each step, 0 to 255 of full scale."""

    lane: Literal["user", "avatar"]
    turn: int = 0
    start: float
    step: float = Field(description="Milliseconds of one peak.")
    peaks: list[int]
    heard: float | None = Field(default=None, description="The avatar's: until when it was played.")


class Part(BaseModel):
    """One part of a turn's latency; docs/latency.md says what each name means."""

    name: str
    milliseconds: float


class Turn(BaseModel):
    """One answer of the avatar."""

    turn: int
    reason: str = Field(description="Why it ended, such as COMPLETED; empty while it goes on.")
    user: str = Field(default="", description="What it answers; only where content is kept.")
    avatar: str = Field(default="", description="What it says; only where content is kept.")
    heard_characters: int = 0
    asked_at: float | None = Field(default=None, description="Where its latency begins.")
    total: float | None = Field(default=None, description="Milliseconds; the sum of the parts.")
    parts: list[Part] = Field(default_factory=list)


class Summary(BaseModel):
    """A session that a timeline is kept of."""

    session_id: str
    avatar_id: str
    trace_id: str
    start_time: datetime
    duration: float = Field(description="Milliseconds, so far.")
    end_reason: str = Field(description="Empty while it lives.")
    turns: int = Field(description="Turns that sounded.")
    median_total: float | None = Field(
        default=None, description="The median of its turns' latency, in milliseconds."
    )


class Timeline(BaseModel):
    """Everything that is kept of a session."""

    session: Summary
    content: bool = Field(description="Whether texts and waveforms are kept.")
    dropped: int = Field(description="Older entries that were forgotten for want of room.")
    spans: list[Span]
    moments: list[Moment]
    words: list[SpokenWord]
    waveforms: list[Waveform]
    turns: list[Turn]
    meanings: dict[str, str] = Field(description="What the names of parts mean.")


class Timelines(BaseModel):
    """The sessions that a timeline is kept of, newest first."""

    sessions: list[Summary]
