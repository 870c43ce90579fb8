"""What was said, heard and measured, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stagewire.common.v1.session_event_pb2 import (
    CONVERSATION_STATE_STARTING,
    ConversationState,
    LatencyBreakdown,
    SessionEvent,
)
from stagewire.common.v1.turn_pb2 import TurnEndReason


@dataclass(slots=True)
class Turn:
    """One answer. Times are seconds of the client's monotonic clock; None until they happen.

    Attributes:
        number: Its number.
        asked: What the user said, as the server understood it; empty for a greeting.
        asked_at: When the user's last speech ended, or the text was typed.
        text: What the avatar says, so far.
        heard_characters: How much of ``text`` was played, as the server keeps it.
        reason: Why it ended, such as ``COMPLETED``; empty until then.
        latency: The server's breakdown.
        first_voice_at: When its first voice came.
        first_motion_at: When its first motion came.
        first_sound_at: When it first sounded.
        played_seconds: How much of it sounded.
    """

    number: int
    asked: str = ""
    asked_at: float | None = None
    text: str = ""
    heard_characters: int | None = None
    reason: str = ""
    latency: LatencyBreakdown | None = None
    first_voice_at: float | None = None
    first_motion_at: float | None = None
    first_sound_at: float | None = None
    played_seconds: float = 0.0

    def answered_at(self, with_motion: bool) -> float | None:
        """When its first voice (and motion) had come."""
        if self.first_voice_at is None or not with_motion:
            return self.first_voice_at
        return (
            None if self.first_motion_at is None else max(self.first_voice_at, self.first_motion_at)
        )

    def latency_parts(self) -> list[tuple[str, float]]:
        """The server's parts: names and seconds."""
        parts = self.latency.parts if self.latency is not None else ()
        return [(part.name, part.duration.ToNanoseconds() / 1e9) for part in parts]


@dataclass
class Transcript:
    """Follows a session's events.

    Attributes:
        turns: The turns by number.
        state: The conversation's state.
        notices: What went wrong or was late.
        ended: Why the session ended; empty while it lives.
    """

    turns: dict[int, Turn] = field(default_factory=dict)
    state: ConversationState.ValueType = CONVERSATION_STATE_STARTING
    notices: list[str] = field(default_factory=list)
    ended: str = ""
    asking: str = ""  # settled words of the user that no turn has answered yet
    asked_at: float | None = None

    def turn(self, number: int) -> Turn:
        """The turn, new or known."""
        return self.turns.setdefault(number, Turn(number))

    def ask(self, at: float) -> None:
        """The user says (and stops at ``at``) or types something."""
        self.asked_at = at

    def answer(self, number: int, now: float) -> Turn:
        """A turn that has voice: the first after the end of a question answers that."""
        turn = self.turn(number)
        if turn.first_voice_at is None:
            turn.first_voice_at = now
            if self.asked_at is not None and now >= self.asked_at:
                turn.asked_at, self.asked_at = self.asked_at, None
        return turn

    def follow(self, event: SessionEvent) -> None:
        """Takes an event; ignores kinds that it does not know."""
        match event.WhichOneof("event"):
            case "state_changed":
                self.state = event.state_changed.state
            case "user_transcript" if event.user_transcript.final:
                self.asking = f"{self.asking} {event.user_transcript.text}".strip()
            case "avatar_transcript":
                turn = self.turn(event.turn)
                if not turn.text:
                    turn.asked, self.asking = self.asking, ""
                turn.text = event.avatar_transcript.text
            case "turn_summary":
                turn, summary = self.turn(event.turn), event.turn_summary
                turn.text = summary.text
                turn.heard_characters = summary.heard_characters
                turn.reason = TurnEndReason.Name(summary.reason).removeprefix("TURN_END_REASON_")
            case "latency":
                self.turn(event.turn).latency = event.latency
            case "notice":
                self.notices.append(event.notice.message)
            case "session_ended":
                self.ended = event.session_ended.reason

    def to_json(self, began: float, with_motion: bool) -> list[dict[str, Any]]:
        """Every turn for ``transcript.json``; times in seconds after ``began``."""

        def since(time: float | None) -> float | None:
            return None if time is None else round(time - began, 4)

        return [
            {
                "turn": turn.number,
                "user": turn.asked,
                "avatar": turn.text,
                "heard": turn.text[: turn.heard_characters or 0],
                "end": turn.reason,
                "server_latency_seconds": {
                    name: round(seconds, 4) for name, seconds in turn.latency_parts()
                },
                "client": {
                    "asked_at": since(turn.asked_at),
                    "first_voice_at": since(turn.first_voice_at),
                    "first_motion_at": since(turn.first_motion_at),
                    "first_sound_at": since(turn.first_sound_at),
                    "answered_after": _difference(turn.answered_at(with_motion), turn.asked_at),
                    "played_seconds": round(turn.played_seconds, 4),
                },
            }
            for turn in sorted(self.turns.values(), key=lambda turn: turn.number)
        ]


def table(turn: Turn, with_motion: bool) -> str:
    """A turn for people: what was asked, said and heard, and where the time went."""
    lines = [f"turn {turn.number} {turn.reason.lower()}"]
    if turn.asked:
        lines.append(f'  you     "{turn.asked}"')
    lines.append(f'  avatar  "{turn.text}"')
    if turn.heard_characters is not None and turn.heard_characters < len(turn.text):
        lines.append(f'  heard   "{turn.text[: turn.heard_characters]}"')
    waited = _difference(turn.answered_at(with_motion), turn.asked_at)
    if waited is not None:
        what = "first sound with motion" if with_motion else "first sound"
        lines.append(_row(f"last speech to {what}, here", waited))
    if turn.latency is not None:
        lines.append(_row("the same, by the server", turn.latency.total.ToNanoseconds() / 1e9))
        lines += [_row(f"  {name}", seconds) for name, seconds in turn.latency_parts()]
    return "\n".join(lines)


def _row(name: str, seconds: float) -> str:
    return f"  {name:<42}{seconds * 1000:7.0f} ms"


def _difference(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else round(later - earlier, 4)
